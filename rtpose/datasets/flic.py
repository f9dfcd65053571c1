"""FLIC, Frames Labeled in Cinema: 11 joints of upper bodies, from film stills.

The crop of the hourglass papers is a square of 200 * 2.2 = 440 pixels around the given centre,
with nothing added to it; the box handed over is the one of which the crop's margin makes that
square. The stills are 480 pixels high, so it holds everybody nearly to the picture's edges.
"""

from __future__ import annotations

from pathlib import Path

from rtpose.datasets.labels import read_hdf5
from rtpose.datasets.people import People, arrange_people, square_boxes
from rtpose.errors import RtposeError
from rtpose.geometry import CROP_MARGIN
from rtpose.skeleton import FLIC11, Skeleton

SCALE_PIXELS = 200.0
"""Side in pixels of the crop of a person of scale 1."""


def read_flic(labels: Path, skeleton: Skeleton) -> People:
    """Read one split of FLIC, ``train.h5`` or ``valid.h5`` as Newell's code has them.

    A picture may show several people, each a person of its own here. The validation split is
    FLIC's official test.

    Raises
    ------
    RtposeError
        If the file is missing, damaged, or another format.
    """
    names, centres, scales, joints, visible = read_hdf5(
        labels, "imgname", "center", "scale", "part", "visible"
    )
    if joints.shape != (len(names), len(FLIC11), 2):
        raise RtposeError(f"{labels}: not FLIC's annotations: joints of shape {joints.shape}")
    return arrange_people(
        labels, FLIC11.joints, skeleton,
        pictures=[name.decode() for name in names], sources=["flic"] * len(names),
        boxes=square_boxes(centres + 0.5, SCALE_PIXELS * scales / CROP_MARGIN),
        joints=joints, labelled=visible > 0,
    )  # fmt: skip
