"""How exact: a network on labelled people, by the code that users run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rtpose.datasets.people import People
from rtpose.decode import Refine, parabola, quarter, unrefined
from rtpose.engines.base import Engine
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.geometry import crop_squares
from rtpose.heatmaps import merge_flipped
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
from rtpose.on_device import Picture
from rtpose.pictures import read_picture
from rtpose.pose import Detections, FloatArray, Image
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

_LEAST_INSIDE = 0.5
"""Part of a person's labelled joints that must lie in a box for it to be that person's."""


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


@dataclass(frozen=True, eq=False)
class Found:
    """Everybody that was found, with joints, labelled or not.

    Attributes
    ----------
    pictures : tuple of str, length D
        The picture each is in.
    joints : (D, K, 3) float32
    scores : (D,) float32
        Of the boxes.
    """

    pictures: tuple[str, ...]
    joints: FloatArray
    scores: FloatArray


REFINEMENTS: dict[str, Refine] = {
    "none": unrefined,
    "quarter shift": quarter,
    "parabola": parabola,
}
"""Where between the cells of a heatmap a joint is; rtpose takes the parabola."""


class Variant(NamedTuple):
    """Habits of the field that cost little and are said to give a point each."""

    flip_test: bool
    refinement: str


VARIANTS = tuple(Variant(flip, name) for flip in (False, True) for name in REFINEMENTS)


def predict(people: People, pictures: Path, engine: Engine, skeleton: Skeleton) -> Scored:
    """Run the network on everybody's given box.

    Raises
    ------
    RtposeError
        If a picture is missing or broken: a score over fewer people would not compare.
    """
    estimator = Estimator(no_detector, engine, skeleton)
    joints = np.empty((len(people), len(skeleton), 3), np.float32)
    for image, rows in by_picture(people, pictures):
        joints[rows] = estimator.place_joints(image, people.boxes[rows])
    return Scored(joints, people)


def predict_variants(people: People, pictures: Path, estimator: Estimator) -> dict[Variant, Scored]:
    """Run the network on everybody's given box and decode its heatmaps in every way.

    Parameters
    ----------
    people : People
    pictures : Path
    estimator : Estimator
        Whose engine does no flip test: that is done here.

    Raises
    ------
    RtposeError
        As `predict`.
    """
    shape = len(people), len(estimator.skeleton), 3
    joints = {variant: np.empty(shape, np.float32) for variant in VARIANTS}
    for image, rows in by_picture(people, pictures):
        squares = crop_squares(people.boxes[rows])
        crops = estimator.cut(image, squares)
        plain, mirrored = estimator.predict(crops), estimator.predict(crops.flip(-1))
        with torch.inference_mode():
            merged = merge_flipped(plain, mirrored, estimator.skeleton.flip)
        for variant, found in joints.items():
            heatmaps = merged if variant.flip_test else plain
            found[rows] = estimator.read(heatmaps, squares, REFINEMENTS[variant.refinement])
    return {variant: Scored(found, people) for variant, found in joints.items()}


def predict_found(
    people: People, pictures: Path, estimator: Estimator, empty: Sequence[str] = ()
) -> tuple[Scored, int, Found]:
    """Let our detector find the people in their pictures: what a user gets.

    Parameters
    ----------
    people : People
    pictures : Path
    estimator : Estimator
    empty : sequence of str
        Pictures to look at too, in which nobody is labelled.

    Returns
    -------
    Scored
        Labelled people with the joints found in their box, see `match_boxes`.
    int
        How many of them the detector missed: their joints are NaN, which counts as wrong.
    Found

    Raises
    ------
    RtposeError
        As `predict`.
    """
    _check_there(empty, pictures)
    nobody = np.zeros(0, np.int64)
    shown = chain(
        ((people.pictures[rows[0]], image, rows) for image, rows in by_picture(people, pictures)),
        ((name, _read_whole(pictures / name), nobody) for name in empty),
    )
    count = len(estimator.skeleton)
    joints = np.full((len(people), count, 3), np.nan, np.float32)
    names: list[str] = []
    all_joints, all_scores = [np.zeros((0, count, 3), np.float32)], [np.zeros(0, np.float32)]
    missed = 0
    for name, image, rows in shown:
        boxes, scores = estimator.detector(image)
        placed = estimator.place_joints(image, boxes)
        owners = match_boxes(people.joints[rows], people.labelled[rows], boxes)
        known = owners >= 0
        joints[rows[known]] = placed[owners[known]]
        missed += int((~known).sum())
        names += [name] * len(boxes)
        all_joints.append(placed)
        all_scores.append(scores)
    found = Found(tuple(names), np.concatenate(all_joints), np.concatenate(all_scores))
    return Scored(joints, people), missed, found


def match_boxes(
    joints: FloatArray, labelled: NDArray[np.bool_], boxes: FloatArray
) -> NDArray[np.int64]:
    """Which detected box is whose, by the labels alone and not by what was predicted in them.

    What counts for a box is the part of the labelled joints that it holds, and half as much how
    small it is: one around a whole group, or a large neighbour, may hold one joint more. Each box
    is given once, so that the sum over all people is greatest.

    Parameters
    ----------
    joints : (N, K, 2)
    labelled : (N, K)
    boxes : (M, 4)

    Returns
    -------
    (N,) int64
        Position of each person's box, -1 where none holds half of the joints.
    """
    owners = np.full(len(joints), -1, np.int64)
    if not len(boxes):
        return owners
    points = np.where(labelled[..., None], joints, np.nan)[:, None]
    low, high = boxes[None, :, None, :2], boxes[None, :, None, 2:]
    within = ((points >= low) & (points <= high)).all(-1).sum(-1)
    inside = within / np.maximum(labelled.sum(1), 1)[:, None]
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    smallness = areas.min() / np.maximum(areas, 1e-9)
    value = np.where(inside >= _LEAST_INSIDE, inside + 0.5 * smallness[None], 0.0)
    for person, box in zip(*linear_sum_assignment(value, maximize=True), strict=True):
        if value[person, box] > 0:
            owners[person] = box
    return owners


def by_picture(people: People, pictures: Path) -> Iterator[tuple[Image, NDArray[np.int64]]]:
    """Each picture once, with the rows of those in it.

    Raises
    ------
    RtposeError
        If pictures are missing, before the first one is read, or one is broken or not the one
        that was labelled: a score over fewer people would not compare.
    """
    _check_there(list(dict.fromkeys(people.pictures)), pictures)
    order = sorted(range(len(people)), key=lambda i: people.pictures[i])
    for name, group in groupby(order, key=lambda i: people.pictures[i]):
        image = _read_whole(pictures / name)
        rows = list(group)
        height, width = image.shape[:2]
        if people.labelled_size(rows[0]) not in (None, (width, height)):
            raise RtposeError(
                f"{pictures / name}: is {width}x{height}, not as large as its labels say: another "
                "picture of the same name, or a resized one; unpack each split's pictures into a "
                "folder of its own, named like the split"
            )
        yield image, np.array(rows)


def _check_there(names: Sequence[str], pictures: Path) -> None:
    gone = [name for name in names if not (pictures / name).is_file()]
    if gone:
        raise RtposeError(
            f"{len(gone)} of {len(names)} pictures are missing, the first is "
            f"{pictures / gone[0]}; a score over fewer people would not compare"
        )


def _read_whole(path: Path) -> Image:
    image = read_picture(path)
    if image is None:
        raise RtposeError(f"{path}: picture is broken; copy it again")
    return image


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


def no_detector(image: Picture) -> Detections:
    """Stand in for the detector where boxes are given: it is never asked."""
    raise NotImplementedError("evaluation gives the boxes")
