"""From which side somebody is seen, as their shoulders lie about the spine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.people import People
from rtpose.skeleton import Skeleton
from training.trust import SURE, own_teacher

TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")

_SIDE = 0.2
"""Greatest width of the shoulders of somebody seen from the side, as a part of the torso."""


def shoulder_width(torso: NDArray[np.float32]) -> NDArray[np.float64]:
    """Width of the shoulders across the spine, in lengths of the torso.

    Whichever way the picture is turned. NaN where shoulders and hips meet.

    Parameters
    ----------
    torso : (N, 4, 2) float32
        Places of `TORSO`, in pixels.

    Returns
    -------
    (N,) float64
        Positive of people who face us, their left at our right; negative of those from behind.
    """
    left, right, *hips = torso.astype(np.float64).swapaxes(0, 1)
    up = (left + right - sum(hips)) / 2
    across = left - right
    area = up[:, 0] * across[:, 1] - up[:, 1] * across[:, 0]
    square = (up**2).sum(axis=1)
    return np.asarray(np.divide(area, square, out=np.full(len(up), np.nan), where=square > 0))


def sideways(people: People, skeleton: Skeleton) -> NDArray[np.bool_]:
    """Who is seen from the side, (N,): by hand where the torso is labelled, else by a sure teacher.

    Parameters
    ----------
    people : People
    skeleton : Skeleton
        Of their joints; nobody is known to be seen from the side in one without a torso.
    """
    if not set(TORSO) <= set(skeleton.joints):
        return np.zeros(len(people), bool)
    torso = [skeleton.index[name] for name in TORSO]
    teacher = own_teacher(people)[:, torso]
    labelled = np.asarray(people.labelled[:, torso].all(axis=1))
    sure = (teacher[..., 2] > SURE).all(axis=1)
    places = np.where(labelled[:, None, None], people.joints[:, torso], teacher[..., :2])
    return (labelled | sure) & (np.abs(shoulder_width(places)) < _SIDE)
