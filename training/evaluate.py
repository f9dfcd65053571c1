"""Score a network on labelled people in their given boxes, by the code that users run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtpose.engines.base import Engine
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.metrics import MPII_HEAD_SHARE, Pck, head_segment_reference, pck, torso_reference
from rtpose.on_device import Picture
from rtpose.pose import FloatArray
from rtpose.skeleton import Skeleton
from training.people import People, read_picture

LIMB_JOINTS = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)
"""The twelve joints that every pose network of the field predicts, whatever its convention."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions beside the truth they are scored against.

    Attributes
    ----------
    joints : (N, K, 3) float32
        x, y in pixels of the picture, and the score.
    people : People
    """

    joints: FloatArray
    people: People

    def of_source(self, source: str) -> Scored:
        """The part that comes from one source."""
        rows = np.flatnonzero(np.array(self.people.sources) == source)
        return Scored(self.joints[rows], self.people.take(rows))


def predict(people: People, pictures: Path, engine: Engine, skeleton: Skeleton) -> Scored:
    """Run the network on everybody's given box.

    Raises
    ------
    RtposeError
        If a picture is missing or broken: a score over fewer people would not compare.
    """
    estimator = Estimator(_no_detector, engine, skeleton)
    parts: list[FloatArray] = []
    rows = range(len(people))
    for picture, group in groupby(rows, key=lambda i: people.pictures[i]):
        image = read_picture(pictures / picture)
        if image is None:
            raise RtposeError(f"{pictures / picture}: picture is missing or broken")
        boxes = people.boxes[np.array(list(group))]
        parts.append(estimator.place_joints(image, boxes))
    return Scored(np.concatenate(parts), people)


def torso_pck(
    scored: Scored,
    skeleton: Skeleton,
    joints: tuple[str, ...] = LIMB_JOINTS,
    threshold: float = 0.2,
) -> Pck:
    """PCK of the named joints at a part of the torso's length, people without a torso left out."""
    truth, labelled = scored.people.joints, _only(scored.people.labelled, skeleton, joints)
    reference = torso_reference(truth, scored.people.labelled, skeleton)
    return pck(scored.joints[..., :2], truth, labelled, reference, threshold)


def head_pck(scored: Scored, skeleton: Skeleton, threshold: float = 0.5) -> Pck:
    """PCKh of all labelled joints, against MPII's head size: 0.75 of neck to head top."""
    truth, labelled = scored.people.joints, scored.people.labelled
    reference = head_segment_reference(truth, labelled, skeleton, share=MPII_HEAD_SHARE)
    return pck(scored.joints[..., :2], truth, labelled, reference, threshold)


def overall(result: Pck) -> float:
    """Percentage of all counted joints that are right; NaN where none was counted."""
    counted = int(result.counted.sum())
    return 100.0 * float(result.correct.sum()) / counted if counted else float("nan")


def _only(
    labelled: NDArray[np.bool_], skeleton: Skeleton, joints: tuple[str, ...]
) -> NDArray[np.bool_]:
    keep = np.isin(skeleton.joints, joints)
    return labelled & keep


def _no_detector(image: Picture) -> tuple[FloatArray, FloatArray]:
    raise NotImplementedError("evaluation gives the boxes")
