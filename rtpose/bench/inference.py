"""A network on labelled people, in given boxes or in our detector's: by the code that users run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rtpose.bench.accuracy import Scored
from rtpose.datasets.people import People
from rtpose.decode import Refine, parabola, quarter, unrefined
from rtpose.engines.base import Engine
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.geometry import crop_squares
from rtpose.heatmaps import merge_flipped
from rtpose.on_device import Picture
from rtpose.pictures import read_picture
from rtpose.pose import Detections, FloatArray, Image
from rtpose.skeleton import Skeleton

_LEAST_INSIDE = 0.5
"""Part of a person's labelled joints that must lie in a box for it to be that person's."""


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


def no_detector(image: Picture) -> Detections:
    """Stand in for the detector where boxes are given: it is never asked."""
    raise NotImplementedError("evaluation gives the boxes")
