"""COCO's average precision for one class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpose.geometry import box_iou
from rtpose.pose import Detections, FloatArray

IOU_THRESHOLDS = np.arange(50, 100, 5) / 100
"""COCO's ten overlaps, 0.50 to 0.95."""

RECALLS = np.linspace(0, 1, 101)
"""COCO's points of the precision curve."""

_LIMIT = 100
"""Most detections that count in a picture."""


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """How well a detector does on a set of pictures, 0 to 100.

    Attributes
    ----------
    ap50, ap50_95 : float
        Average precision at overlap 0.5, and its mean over 0.50 to 0.95.
    precision, recall : float
        At overlap 0.5 and the confidence with the best F1.
    """

    ap50: float
    ap50_95: float
    precision: float
    recall: float


def score_detections(truths: list[FloatArray], found: list[Detections]) -> DetectionScores:
    """Compare detections with the truth, by COCO's protocol.

    In each picture the best-scored detections go first and each takes the free person it overlaps
    most; at most `_LIMIT` a picture count. Nobody is ignored, so the truth must be complete.

    Parameters
    ----------
    truths : list of (N, 4) float32
        Boxes xyxy of the people in each picture.
    found : list of ((M, 4), (M,)) float32
        Boxes and scores found in each picture.

    Raises
    ------
    ValueError
        If the lists differ in length or there is no person at all.
    """
    people = sum(len(t) for t in truths)
    if not people:
        raise ValueError("average precision needs at least one person")
    scores, hits = [], []
    for truth, (boxes, confidence) in zip(truths, found, strict=True):
        order = np.argsort(-confidence, kind="stable")[:_LIMIT]
        scores.append(confidence[order])
        hits.append(match(truth, boxes[order]))
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")
    hit = np.concatenate(hits, axis=1)[:, order]
    true, false = hit.cumsum(axis=1), (~hit).cumsum(axis=1)
    precision = true / np.maximum(true + false, 1)
    recall = true / people
    aps = [_area(p, r) for p, r in zip(precision, recall, strict=True)]
    if not len(order):
        return DetectionScores(0, 0, 0, 0)
    # precision + recall is 0 only where nothing is right, and there 2pr is 0 too.
    f1 = 2 * precision[0] * recall[0] / np.maximum(precision[0] + recall[0], 1e-9)
    best = int(f1.argmax())
    return DetectionScores(
        100 * aps[0],
        100 * float(np.mean(aps)),
        100 * float(precision[0, best]),
        100 * float(recall[0, best]),
    )


def match(truth: FloatArray, boxes: FloatArray) -> NDArray[np.bool_]:
    """(10, M) bool: whether each detection, best first, finds a person, at each overlap."""
    hit = np.zeros((len(IOU_THRESHOLDS), len(boxes)), np.bool_)
    overlap = box_iou(boxes, truth)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(truth), np.bool_)
        for i in range(len(boxes)):
            candidates = np.where(free, overlap[i], -1.0)
            if len(truth) and candidates.max() >= threshold:
                hit[t, i] = True
                free[candidates.argmax()] = False
    return hit


def _area(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    if not len(precision):
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    where = np.searchsorted(recall, RECALLS, side="left")
    return float(
        np.where(where < len(envelope), envelope[np.minimum(where, len(envelope) - 1)], 0).mean()
    )
