"""Another system's predictions out of a file, checked against the labels they are for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rtpose.bench.accuracy import Scored
from rtpose.datasets.labels import read_arrays, read_json
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.metrics import pck
from rtpose.pose import FloatArray
from rtpose.skeleton import Skeleton

NAMES = ("preds", "predictions", "pos_pred_src", "joints", "keypoints")
"""What the field calls an array of predictions."""

_FROM_ONE = {".h5": 1, ".hdf5": 1, ".mat": 1, ".json": 0}
"""Coordinates of the middle of the top-left pixel: MATLAB's and Torch's codes count from 1."""

_SUSPICIOUS = 20.0
"""Points by which another order of joints must score higher to be called a mistake."""

_ENOUGH = 10
"""People of whom that can be said: among two or three, poor predictions lie nearer to other joints
by chance, or because somebody's left and right were taken for each other."""


def read_predictions(
    path: Path, people: People, skeleton: Skeleton, first_pixel: int | None = None
) -> Scored:
    """Read predictions and set them beside the people they are for.

    Parameters
    ----------
    path : Path
        ``.h5`` or ``.mat`` with an array of one of `NAMES`, or the only one there is; ``.json``
        with nested lists, or an object with one of these keys. (N, K, 2 or more), or, as
        Tompson's ``.mat``, (K, 2, N). Anything after x and y is taken for a score.
    people : People
        In the same order.
    skeleton : Skeleton
        Of the predicted joints.
    first_pixel : int, optional
        0 or 1, what the file calls the middle of the top-left pixel; None is 0 for json and 1
        for the others, as the released files of the field have it.

    Raises
    ------
    RtposeError
        If the file is missing or of another format, its length or its number of joints is
        another, or its joints are in another order.
    """
    suffix = path.suffix.lower()
    if suffix not in _FROM_ONE:
        raise RtposeError(f"{path}: predictions are read from {', '.join(_FROM_ONE)}")
    if not path.is_file():
        raise RtposeError(f"{path}: no such file")
    array = _pick(path, _read(path))
    points = _arrange(path, array, len(people), skeleton)
    points[..., :2] -= _FROM_ONE[suffix] if first_pixel is None else first_pixel
    _check_order(path, points, people, skeleton)
    return Scored(points, people)


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() != ".json":
        return read_arrays(path)
    data = read_json(path)
    return data if isinstance(data, dict) else {"": data}


def _pick(path: Path, found: Mapping[str, Any]) -> NDArray[np.float64]:
    named = [name for name in NAMES if name in found] or (list(found) if len(found) == 1 else [])
    if not named:
        there = ", ".join(found) or "nothing"
        raise RtposeError(f"{path}: no predictions: expected {' or '.join(NAMES)}, found {there}")
    try:
        return np.asarray(found[named[0]], np.float64)
    except (TypeError, ValueError):
        raise RtposeError(
            f"{path}: {named[0] or 'its content'} is no array of numbers; expected one x, y for "
            "each joint of each person"
        ) from None


def _arrange(path: Path, array: NDArray[np.float64], count: int, skeleton: Skeleton) -> FloatArray:
    """Bring an array to (N, K, 3) with a score."""
    joints = len(skeleton)
    if array.ndim == 3 and array.shape[:2] == (joints, 2) and array.shape[2] not in (2, 3):
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[2] < 2:
        raise RtposeError(
            f"{path}: an array of shape {array.shape}; expected ({count}, {joints}, 2)"
        )
    if array.shape[1] != joints:
        raise RtposeError(
            f"{path}: holds {array.shape[1]} joints a person, {skeleton.name} has {joints}: "
            f"{', '.join(skeleton.joints)}; or name another --skeleton"
        )
    if len(array) != count:
        raise RtposeError(
            f"{path}: holds {len(array)} people, the labels {count}; it must be of the same split "
            "and in the same order"
        )
    points = np.ones((count, joints, 3), np.float32)
    points[..., : min(array.shape[2], 3)] = array[..., :3]
    return points


def _check_order(path: Path, points: FloatArray, people: People, skeleton: Skeleton) -> None:
    """Refuse predictions that would be far better if their joints were named otherwise.

    Raises
    ------
    RtposeError
        With the names that fit.
    """
    if len(people) < _ENOUGH:
        return
    rates = _rates_of_pairs(points, people)
    labelled = np.flatnonzero(people.labelled.any(0))
    rates = rates[:, labelled]
    rows, taken = linear_sum_assignment(rates, maximize=True)
    best, given = rates[rows, taken].mean(), rates[labelled, np.arange(len(labelled))].mean()
    if best - given < _SUSPICIOUS:
        return
    wrong = [
        f"{skeleton.joints[k]} lies on {skeleton.joints[labelled[j]]}"
        for k, j in zip(rows, taken, strict=True)
        if k != labelled[j]
    ]
    raise RtposeError(
        f"{path}: the joints are in another order than {skeleton.name}'s: as they stand "
        f"{given:.0f} % are near their labels, rearranged {best:.0f} %: {'; '.join(wrong[:4])}"
        f"{' ...' if len(wrong) > 4 else ''}; write them as {', '.join(skeleton.joints)}"
    )


def _rates_of_pairs(points: FloatArray, people: People) -> NDArray[np.float64]:
    """Percentage (K, K) of people whose predicted joint k is near the label of joint j.

    Near is a tenth of the person's extent: that of the labels, which every data set has.
    """
    known = np.where(people.labelled[..., None], people.joints, np.nan)
    some = people.labelled.sum(1) > 1
    extent = np.full(len(people), np.nan)
    spans = np.nanmax(known[some], axis=1) - np.nanmin(known[some], axis=1)
    extent[some] = spans.max(axis=1)
    rates = np.empty((points.shape[1],) * 2)
    for k in range(points.shape[1]):
        same = np.repeat(points[:, k : k + 1, :2], points.shape[1], axis=1)
        rates[k] = np.nan_to_num(pck(same, people.joints, people.labelled, extent, 0.1).rates)
    return rates
