"""MPII Human Pose: 16 joints, and for each person a rough centre and a scale instead of a box.

The centre is moved down by 15 pixels of scale 1, and the network's crop is a square of
200 * 1.25 pixels of scale 1 around it (Newell's code, and everybody's since); the box handed over
is the one of which the crop's margin makes that square. Centres and joints are MATLAB's, counted
from 1; here the middle of the top-left pixel is (0, 0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.labels import read_hdf5, read_json, read_mat, read_mat_struct
from rtpose.datasets.people import People, arrange_people, square_boxes
from rtpose.errors import RtposeError
from rtpose.geometry import CROP_MARGIN
from rtpose.metrics import head_box_reference
from rtpose.skeleton import MPII16, Skeleton

SCALE_PIXELS = 250.0
"""Side in pixels of the crop of a person of scale 1."""

CENTRE_DOWN = 15.0
"""By how many pixels of scale 1 the centre is moved down."""


class _Rows(NamedTuple):
    """MPII's numbers as they stand."""

    pictures: list[str]
    centres: NDArray[np.float64]  # (N, 2)
    scales: NDArray[np.float64]  # (N,)
    joints: NDArray[np.float64]  # (N, 16, 2)
    labelled: NDArray[np.bool_]  # (N, 16)


def read_mpii(
    labels: Path,
    split: Literal["train", "val"],
    skeleton: Skeleton,
    heads: Path | None = None,
) -> People:
    """Read MPII's training or validation people.

    Parameters
    ----------
    labels : Path
        ``mpii_annotations.json`` (or .json.gz) with all 25,204 people, each marked with whether
        it is one of the official 2,958 of validation; or the ``train.json`` and ``valid.json``
        that HRNet and mmpose use, of which each is one split; or the official
        ``mpii_human_pose_v1_u12_1.mat``, which has some 3,700 people more, close to others, and
        no validation split: Newell's ``valid.h5`` beside it says who is in it.
    split : {"train", "val"}
    skeleton : Skeleton
    heads : Path, optional
        ``detections_our_format.mat`` or ``gt_valid.mat``: validation truth and head boxes, in
        the order of the validation people. Scores in the literature are against this truth,
        which differs from the labels in that joints outside the picture are moved to its edge.

    Raises
    ------
    RtposeError
        If a file is missing, damaged, or another format.
    """
    rows = _from_mat(labels, split) if labels.suffix == ".mat" else _from_json(labels, split)
    joints, labelled, head_sizes = rows.joints, rows.labelled, None
    if heads is not None and split == "val":
        joints, labelled, head_sizes = _head_truth(heads, len(rows.pictures))
    middle = rows.centres + rows.scales[:, None] * np.array([0, CENTRE_DOWN])
    return arrange_people(
        labels, MPII16.joints, skeleton, rows.pictures, ["mpii"] * len(rows.pictures),
        # from 1 to from 0, and from there to half a pixel more, for boxes begin at the edge
        boxes=square_boxes(middle - 0.5, SCALE_PIXELS * rows.scales / CROP_MARGIN),
        joints=joints - 1, labelled=labelled, head_sizes=head_sizes,
    )  # fmt: skip


def _from_json(labels: Path, split: str) -> _Rows:
    data = read_json(labels)
    try:
        if "isValidation" in data[0]:
            data = [row for row in data if bool(row["isValidation"]) == (split == "val")]
            keys = ("img_paths", "objpos", "scale_provided", "joint_self")
        else:
            keys = ("image", "center", "scale", "joints")
        pictures, centres, scales, joints = ([row[key] for row in data] for key in keys)
        points = np.array(joints, np.float64).reshape(len(data), len(MPII16), -1)[..., :2]
        # Hidden joints are labelled as well as visible ones. One file writes a joint that is not
        # as (0, 0), the other as (-1, -1).
        labelled = ~((points == 0).all(axis=-1) | (points == -1).all(axis=-1))
        return _Rows(
            pictures,
            np.array(centres, np.float64).reshape(len(data), 2),
            np.array(scales, np.float64),
            points,
            labelled,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RtposeError(f"{labels}: not MPII's annotations (no {error})") from error


def _from_mat(labels: Path, split: str) -> _Rows:
    release = read_mat_struct(labels, "RELEASE")
    index, person = read_hdf5(labels.with_name("valid.h5"), "index", "person")
    validation = set(zip(index.astype(int).tolist(), person.astype(int).tolist(), strict=True))
    pictures, centres, scales, joints, labelled = [], [], [], [], []
    try:
        annotated = np.atleast_1d(release.annolist)
        for i in np.flatnonzero(release.img_train).tolist():
            for p, rect in enumerate(np.atleast_1d(getattr(annotated[i], "annorect", ()))):
                points = np.atleast_1d(_part(_part(rect, "annopoints"), "point"))
                centre = _part(rect, "objpos")
                if ((i, p) in validation) != (split == "val") or not points.size:
                    continue
                if not hasattr(centre, "x"):
                    continue
                places, known = np.zeros((len(MPII16), 2)), np.zeros(len(MPII16), bool)
                for point in points:
                    places[point.id], known[point.id] = (point.x, point.y), True
                pictures.append(str(annotated[i].image.name))
                centres.append((centre.x, centre.y))
                scales.append(float(rect.scale))
                joints.append(places)
                labelled.append(known)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise RtposeError(f"{labels}: not MPII's annotations: {error}") from error
    return _Rows(
        pictures,
        np.array(centres, np.float64).reshape(-1, 2),
        np.array(scales, np.float64),
        np.reshape(joints, (-1, len(MPII16), 2)),
        np.reshape(labelled, (-1, len(MPII16))),
    )


def _part(struct: Any, name: str) -> Any:
    """A field of a MATLAB struct, an empty array where it or the struct is empty."""
    return getattr(struct, name, np.empty(0))


def _head_truth(
    heads: Path, count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    truth, missing, boxes = read_mat(heads, "pos_gt_src", "jnt_missing", "headboxes_src")
    if truth.shape != (len(MPII16), 2, count):
        raise RtposeError(f"{heads}: holds {truth.shape[-1]} people, the labels {count}")
    sizes = head_box_reference(boxes.transpose(2, 0, 1).reshape(-1, 4))
    return truth.transpose(2, 0, 1), missing.T == 0, sizes
