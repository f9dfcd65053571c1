"""How exact: predictions beside labels, by source and by what counts as right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.metrics import (
    TORSO,
    Comparison,
    Means,
    Pck,
    auc,
    columns,
    head_segment_reference,
    means,
    pck,
    pck_curve,
    torso_reference,
)
from rtpose.pose import FloatArray
from rtpose.skeleton import Skeleton

LIMB_JOINTS = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)
"""The twelve joints that every pose network of the field predicts, whatever its convention."""

TORSO_THRESHOLD, HEAD_THRESHOLD = 0.2, 0.5

_POINTS = 51
"""Thresholds on a curve."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions beside the truth they are scored against.

    Attributes
    ----------
    joints : (N, K, 3) float32
        x, y in pixels of the picture, and the score; NaN for somebody who was not found.
    people : People
    """

    joints: FloatArray
    people: People

    def of_source(self, source: str) -> Scored:
        """The part that comes from one source."""
        rows = np.flatnonzero(np.array(self.people.sources) == source)
        return Scored(self.joints[rows], self.people.take(rows))


@dataclass(frozen=True)
class Score:
    """One row of a table.

    Attributes
    ----------
    source : str
        Where the people come from.
    measure : str
        What counts as right.
    people, without_reference : int
        Counted, and left out because a joint that the reference length ends at has no label.
    columns : dict of str to float
        The paper's columns, in percent; absent where nobody has these joints.
    means : Means
    curve : tuple of (float, float)
        Threshold and A16 at it.
    auc : float
        Area under the curve, 0 to 100.
    """

    source: str
    measure: str
    people: int
    without_reference: int
    columns: dict[str, float]
    means: Means
    curve: tuple[tuple[float, float], ...]
    auc: float


def score(
    scored: Scored,
    skeleton: Skeleton,
    comparison: Comparison = "<=",
    torso: tuple[str, str] = TORSO,
) -> list[Score]:
    """All that can be said of some predictions, by source.

    PCKh needs a head size, PCK a torso: where nobody of a source has one, that row is absent.
    The first row of a source is the one its set is known by: PCKh for MPII, else PCK.
    """
    rows: list[Score] = []
    for source in dict.fromkeys(scored.people.sources):
        part = scored.of_source(source)
        people = part.people
        lengths = torso_reference(people.joints, people.labelled, skeleton, ends=torso)
        limbs = _limbs(people.labelled, skeleton)
        measures = [
            (f"PCK@{TORSO_THRESHOLD}, 12 joints", limbs, lengths, TORSO_THRESHOLD),
            (f"PCK@{TORSO_THRESHOLD}, all joints", people.labelled, lengths, TORSO_THRESHOLD),
        ]
        if people.head_sizes is not None or "head_top" in skeleton.index:
            heads = _head_sizes(people, skeleton)
            by_head = (f"PCKh@{HEAD_THRESHOLD}", people.labelled, heads, HEAD_THRESHOLD)
            measures.insert(len(measures) if people.head_sizes is None else 0, by_head)
        for measure, labelled, reference, threshold in measures:
            thresholds = np.linspace(0, threshold, _POINTS)
            curve = pck_curve(
                part.joints[..., :2], people.joints, labelled, reference, thresholds,
                comparison=comparison,
            )  # fmt: skip
            if curve[-1].counted.any():
                rows.append(_row(source, measure, curve, skeleton))
    return rows


def as_labelled(people: People) -> Scored:
    """What would be predicted if all joints were found where they are labelled."""
    return Scored(np.insert(people.joints, 2, 1, axis=-1), people)


def check_measurable(people: People, skeleton: Skeleton, torso: tuple[str, str] = TORSO) -> None:
    """See that something can be said of these people before networks run on them.

    Raises
    ------
    RtposeError
        If nobody has what errors are measured in.
    """
    if not score(as_labelled(people), skeleton, torso=torso):
        start, end = (name.replace("_", " ") for name in torso)
        raise RtposeError(
            f"none of {len(people)} people can be scored: nobody has both {start} and {end} "
            "labelled, whose distance PCK is measured in, nor a head size for PCKh"
        )


def _row(source: str, measure: str, curve: tuple[Pck, ...], skeleton: Skeleton) -> Score:
    thresholds = [point.threshold for point in curve]
    pooled = [point.overall for point in curve]
    rates = columns(curve[-1], skeleton)
    return Score(
        source=source,
        measure=measure,
        people=curve[-1].people,
        without_reference=curve[-1].left_out,
        columns={name: rate for name, rate in rates.items() if not np.isnan(rate)},
        means=means(curve[-1], skeleton),
        curve=tuple(zip(thresholds, pooled, strict=True)),
        auc=auc(thresholds, pooled),
    )


def torso_pck(scored: Scored, skeleton: Skeleton) -> Pck:
    """PCK@0.2 of `LIMB_JOINTS`, in torso lengths, people without a torso left out."""
    truth, labelled = scored.people.joints, _limbs(scored.people.labelled, skeleton)
    reference = torso_reference(truth, scored.people.labelled, skeleton)
    return pck(scored.joints[..., :2], truth, labelled, reference, TORSO_THRESHOLD)


def head_pck(scored: Scored, skeleton: Skeleton) -> Pck:
    """PCKh@0.5 of all labelled joints.

    Against the set's own head sizes where it has some (MPII's head boxes), else against what
    comes closest to them: 0.75 of neck to head top.
    """
    truth, labelled = scored.people.joints, scored.people.labelled
    reference = _head_sizes(scored.people, skeleton)
    return pck(scored.joints[..., :2], truth, labelled, reference, HEAD_THRESHOLD)


def _head_sizes(people: People, skeleton: Skeleton) -> NDArray[Any]:
    if people.head_sizes is not None:
        return people.head_sizes
    return head_segment_reference(people.joints, people.labelled, skeleton)


def _limbs(labelled: NDArray[np.bool_], skeleton: Skeleton) -> NDArray[np.bool_]:
    return labelled & np.isin(skeleton.joints, LIMB_JOINTS)
