"""PCK and PCKh: the share of joints placed within a fraction of a reference length of the truth.

PCK (Yang and Ramanan 2013) measures in torso lengths, PCKh (Andriluka et al. 2014) in head
sizes. Both are :func:`pck`; only the reference differs:

============================  ====================================================  ==========
data                          reference                                             threshold
============================  ====================================================  ==========
MPII, PCKh@0.5                :func:`head_box_reference`                            0.5
LSP, FLIC, COCO, PCK@0.2      :func:`torso_reference`                               0.2
LSP, PCKh@0.5                 :func:`head_segment_reference`                        0.5
============================  ====================================================  ==========

Rates are percentages. A rate of joints that nobody has is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rtpose.skeleton import MPII16, Skeleton

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Comparison = Literal["<=", "<"]

COLUMNS: dict[str, tuple[str, ...]] = {
    "Head": ("head_top",),
    "Shoulder": ("left_shoulder", "right_shoulder"),
    "Elbow": ("left_elbow", "right_elbow"),
    "Wrist": ("left_wrist", "right_wrist"),
    "Hip": ("left_hip", "right_hip"),
    "Knee": ("left_knee", "right_knee"),
    "Ankle": ("left_ankle", "right_ankle"),
}
"""The columns of the paper's table and the joints each averages.

As in HRNet's ``lib/dataset/mpii.py`` and pytorch-pose's ``eval_PCKh.py``: Head is the head top
alone, the others are the mean of the left and the right rate.
"""

NOT_IN_MEAN = frozenset({"pelvis", "thorax"})
"""The joints that the means over 14 joints leave out."""

_HEAD_SHARE = 0.75
"""MPII's head size in lengths of the segment from upper neck to head top.

Measured: the two agree to four digits for 93 in 100 validation people.
"""

TORSO = ("right_shoulder", "left_hip")
"""Ends of the diagonal that PCK is measured in, except where a set has its own: what the figures of
this project's peers were measured with."""

_COMPARE: dict[Comparison, Callable[[FloatArray, float], BoolArray]] = {
    "<=": np.less_equal,
    "<": np.less,
}

# Andriluka et al. 2014 take "60 % of the diagonal of the head box", SC_BIAS in the released code.
_HEAD_BOX_SHARE = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Pck:
    """How many joints were right.

    Attributes
    ----------
    correct : (K,) int64
        Joints within the threshold.
    counted : (K,) int64
        Joints labelled, on people who have a reference.
    threshold : float
        In reference lengths.
    people : int
        People counted.
    left_out : int
        People without a reference length, counted nowhere.
    """

    correct: NDArray[np.int64]
    counted: NDArray[np.int64]
    threshold: float
    people: int
    left_out: int

    @property
    def rates(self) -> FloatArray:
        """Percentage right for each joint, (K,); NaN where none was counted."""
        return _percent(self.correct, self.counted)

    @property
    def overall(self) -> float:
        """Percentage of all counted joints that are right; NaN where none was counted."""
        return float(_percent(self.correct.sum(), self.counted.sum()))


@dataclass(frozen=True, slots=True)
class Means:
    """The three means in use; on MPII they lie up to 1.4 points apart, so always name which.

    Attributes
    ----------
    p14 : float
        Plain mean of the joint rates, without pelvis and thorax.
    w14 : float
        The same joints weighted by their count, as HRNet and mmpose print it.
    a16 : float
        All joints pooled, pelvis and thorax included.
    """

    p14: float
    w14: float
    a16: float


def pck(
    predicted: ArrayLike,
    truth: ArrayLike,
    labelled: ArrayLike,
    reference: ArrayLike,
    threshold: float,
    *,
    comparison: Comparison = "<=",
) -> Pck:
    """Count the joints that lie within `threshold` reference lengths of the truth.

    Parameters
    ----------
    predicted : (N, K, 2)
        Joints in pixels. One that is not finite counts as wrong.
    truth : (N, K, 2)
        Labels in the same pixels; read only where `labelled`.
    labelled : (N, K) bool
        Which joints have a label. MPII counts every annotated joint, hidden or not.
    reference : (N,)
        Reference lengths in pixels. People whose reference is not finite or not positive are
        left out.
    threshold : float
        In reference lengths, e.g. 0.5 for PCKh@0.5.
    comparison : {"<=", "<"}
        HRNet counts an error equal to the threshold as right, pytorch-pose as wrong.

    Raises
    ------
    ValueError
        If shapes do not agree, or a label that counts is not finite.
    """
    (result,) = pck_curve(predicted, truth, labelled, reference, [threshold], comparison=comparison)
    return result


def pck_curve(
    predicted: ArrayLike,
    truth: ArrayLike,
    labelled: ArrayLike,
    reference: ArrayLike,
    thresholds: ArrayLike,
    *,
    comparison: Comparison = "<=",
) -> tuple[Pck, ...]:
    """Evaluate :func:`pck` at each of several thresholds, e.g. ``np.linspace(0, 0.5, 51)``."""
    error, counts, people, left_out = _errors(predicted, truth, labelled, reference)
    compare, counted = _COMPARE[comparison], counts.sum(0)
    return tuple(
        Pck((compare(error, t) & counts).sum(0), counted, float(t), people, left_out)
        for t in np.asarray(thresholds, float)
    )


def auc(thresholds: ArrayLike, rates: ArrayLike) -> float:
    """Area under a curve by the trapezoid rule, over its width: 0 to 100, as the rates are.

    Parameters
    ----------
    thresholds : (T,)
        Rising.
    rates : (T,)
        Percentages, e.g. one of the means at each threshold.

    Raises
    ------
    ValueError
        If there are fewer than two thresholds, they do not rise, or lengths differ.
    """
    x, y = np.asarray(thresholds, float), np.asarray(rates, float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2 or not (np.diff(x) > 0).all():
        raise ValueError(f"a curve needs rising thresholds and a rate for each: {x}, {y}")
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2 / (x[-1] - x[0]))


def columns(result: Pck, skeleton: Skeleton = MPII16) -> dict[str, float]:
    """Percentages in the paper's columns, see :data:`COLUMNS`.

    Columns of which the skeleton lacks a joint are absent (FLIC has no head top, knees and
    ankles); a joint nobody has is left out of its column's mean.
    """
    _check_length(result, skeleton)
    rates = result.rates
    return {
        column: _mean(rates[[skeleton.index[joint] for joint in joints]])
        for column, joints in COLUMNS.items()
        if all(joint in skeleton.index for joint in joints)
    }


def means(result: Pck, skeleton: Skeleton = MPII16) -> Means:
    """Give the three means.

    The names are MPII's. On another skeleton the formulas are the same over its own joints,
    those that nobody has left out: on LSP's 14 joints `w14` and `a16` are equal.
    """
    _check_length(result, skeleton)
    body = np.array([joint not in NOT_IN_MEAN for joint in skeleton.joints])
    return Means(
        p14=_mean(result.rates[body]),
        w14=float(_percent(result.correct[body].sum(), result.counted[body].sum())),
        a16=result.overall,
    )


def head_box_reference(boxes: ArrayLike) -> FloatArray:
    """MPII's head size: 0.6 times the diagonal of the head box.

    Parameters
    ----------
    boxes : (N, 4)
        x0, y0, x1, y1 in pixels.

    Returns
    -------
    (N,) float64
    """
    x0, y0, x1, y1 = np.asarray(boxes, float).reshape(-1, 4).T
    return np.asarray(_HEAD_BOX_SHARE * np.hypot(x1 - x0, y1 - y0), float)


def head_segment_reference(
    truth: ArrayLike, labelled: ArrayLike, skeleton: Skeleton = MPII16
) -> FloatArray:
    """MPII's head size where there is no head box: 0.75 of the upper neck to the head top.

    The whole, which the field takes on LSP, is milder.

    Parameters
    ----------
    truth, labelled, skeleton
        As for :func:`torso_reference`.

    Returns
    -------
    (N,) float64
        NaN where one of the two joints has no label.
    """
    return _HEAD_SHARE * _distance(truth, labelled, skeleton, ("upper_neck", "head_top"))


def torso_reference(
    truth: ArrayLike,
    labelled: ArrayLike,
    skeleton: Skeleton = MPII16,
    *,
    ends: tuple[str, str] = TORSO,
) -> FloatArray:
    """Torso size: a diagonal of the torso.

    Parameters
    ----------
    truth : (N, K, 2)
        Labels in pixels.
    labelled : (N, K) bool
    skeleton : Skeleton
        What the K joints are.
    ends : (str, str)
        Which two joints. FLIC's released code (bensapp/MODEC, eval_dataset.m) and the usual one
        for LSP (bearpaw/eval_pose, demo_eval_lsp.m) take the other diagonal, "left_shoulder" to
        "right_hip".

    Returns
    -------
    (N,) float64
        NaN where one of the two joints has no label: :func:`pck` leaves these people out.
    """
    return _distance(truth, labelled, skeleton, ends)


def _errors(
    predicted: ArrayLike, truth: ArrayLike, labelled: ArrayLike, reference: ArrayLike
) -> tuple[FloatArray, BoolArray, int, int]:
    """Distances (N, K) in reference lengths, which of them count, people used and left out."""
    found, true = np.asarray(predicted, float), np.asarray(truth, float)
    known, length = np.asarray(labelled, bool), np.asarray(reference, float)
    if not (
        found.ndim == 3
        and found.shape[2] == 2
        and found.shape == true.shape
        and found.shape[:2] == known.shape
        and found.shape[:1] == length.shape
    ):
        raise ValueError(
            "expected predicted and truth (N, K, 2), labelled (N, K) and reference (N,), got "
            f"{found.shape}, {true.shape}, {known.shape} and {length.shape}"
        )
    used = np.isfinite(length) & (length > 0)
    counts = known & used[:, None]
    if not np.isfinite(true[counts]).all():
        raise ValueError("a labelled joint is not finite")
    distance = np.full(known.shape, np.inf)
    placed = counts & np.isfinite(found).all(2)
    distance[placed] = np.hypot(*(found[placed] - true[placed]).T)
    error = distance / np.where(used, length, 1.0)[:, None]
    return error, counts, int(used.sum()), int((~used).sum())


def _distance(
    truth: ArrayLike, labelled: ArrayLike, skeleton: Skeleton, ends: Sequence[str]
) -> FloatArray:
    """Distance (N,) between two joints, NaN where either has no label."""
    a, b = (skeleton.index[joint] for joint in ends)
    joints, known = np.asarray(truth, float), np.asarray(labelled, bool)
    if known.shape[1:] != (len(skeleton),) or joints.shape != (*known.shape, 2):
        raise ValueError(
            f"expected truth (N, {len(skeleton)}, 2) and labelled (N, {len(skeleton)}) for "
            f"{skeleton.name}, got {joints.shape} and {known.shape}"
        )
    both = known[:, a] & known[:, b]
    length = np.full(len(joints), np.nan)
    length[both] = np.hypot(*(joints[both, a] - joints[both, b]).T)
    return length


def _percent(part: ArrayLike, whole: ArrayLike) -> FloatArray:
    """100 * part / whole; NaN where the whole is 0."""
    divisor = np.asarray(whole, float)
    empty = divisor == 0
    return np.where(empty, np.nan, 100.0 * np.asarray(part) / np.where(empty, 1.0, divisor))


def _mean(rates: FloatArray) -> float:
    """Mean of the numbers among the rates; NaN if there is none."""
    known = rates[~np.isnan(rates)]
    return float(known.mean()) if len(known) else float("nan")


def _check_length(result: Pck, skeleton: Skeleton) -> None:
    if len(result.counted) != len(skeleton):
        raise ValueError(
            f"the result has {len(result.counted)} joints, {skeleton.name} has {len(skeleton)}"
        )
