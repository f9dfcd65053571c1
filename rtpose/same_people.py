"""Do two detectors find the same people? Asked of one in fewer bits before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtpose.geometry import box_iou
from rtpose.pose import Detections

RECIPE = "1"
"""Part of the key of every verdict that is kept: to be raised when what is asked, what is tolerated
or how a verdict is written changes, so that no older one is taken for it."""

SURE = 0.5
"""Score from which a person must be found by both. Those who are half hidden score lower, and any
rounding shows or hides them."""

LEAST_OVERLAP = 0.8
MOST_APART = 0.15
"""What is tolerated for each person. The shipped detector in 8 bits overlaps by 0.95 and scores
0.06 apart at worst; what is broken has little in common with the right boxes and scores."""


@dataclass(frozen=True)
class Agreement:
    """How far what one detector finds is what another does.

    Attributes
    ----------
    people : int
        Of whom either is sure, each counted once for each that is.
    overlap : float
        Least intersection over union of their boxes; 1 where there is nobody.
    apart : float
        Largest difference of their scores.
    finite : bool
        No prediction is NaN or infinity, with which nobody would be found.
    """

    people: int
    overlap: float
    apart: float
    finite: bool

    @property
    def holds(self) -> bool:
        """Whether one may be used in the other's place."""
        return self.finite and self.overlap >= LEAST_OVERLAP and self.apart <= MOST_APART

    def __str__(self) -> str:
        if not self.finite:
            return "some predictions are not finite numbers"
        return (
            f"{self.people} boxes, overlap at least {self.overlap:.2f}, "
            f"scores at most {self.apart:.2f} apart"
        )


def compare_people(
    ours: Sequence[Detections], theirs: Sequence[Detections], *, finite: bool
) -> Agreement:
    """Compare what two detectors find in the same pictures.

    Parameters
    ----------
    ours, theirs : sequence of Detections
        One for each picture, down to scores that `SURE` and `MOST_APART` leave room for.
    finite : bool
        Whether all that these come from is.
    """
    people, overlap, apart = 0, 1.0, 0.0
    for pair in zip(ours, theirs, strict=True):
        # both ways: neither may find somebody whom the other does not
        for (boxes, scores), (others, their_scores) in (pair, pair[::-1]):
            sure = scores >= SURE
            people += int(sure.sum())
            if not sure.any():
                continue
            if not len(others):
                return Agreement(people, 0.0, 1.0, finite)
            shared = box_iou(boxes[sure], others)
            overlap = min(overlap, float(shared.max(axis=1).min()))
            differ = np.abs(scores[sure] - their_scores[shared.argmax(axis=1)])
            apart = max(apart, float(differ.max()))
    return Agreement(people, overlap, apart, finite)
