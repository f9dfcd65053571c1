"""Which joints to learn from: those a human labelled, the teacher network's, or neither's.

Both are wrong at times about a whole person. The teacher was shown a person's surroundings and
answered for the neighbour, in crowded street pictures for one in ten; and of one acrobat in twelve
teacher and crowd workers disagree throughout, mostly about which side is left. A network that is
taught this gives people the limbs of those beside them, and swaps left and right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.people import People

SURE = 0.4
"""Least score of a teacher's joint that is worth an argument."""

_APART = 0.1
"""In parts of the box's longer side: further outside the box, or from a human label, is elsewhere.
94 in 100 of the teacher's sure joints lie nearer to good labels."""

_OUTSIDE = 0.3
"""A teacher more of whose sure joints lie outside the box means another person."""

_AT_ODDS, _LEAST_SHARED = 0.5, 4
"""Where the teacher is elsewhere than the human for more of the joints that both know, and there
are so many, the two mean different people, or different sides."""


def trusted_joints(
    people: People, teacher_weight: float, disputed: tuple[str, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints to learn from, (N, K, 2), and their weights, (N, K).

    A human label weighs 1. Where there is none, the teacher's joint counts `teacher_weight` times
    its score, see `own_teacher`. In `disputed` sources (crowd-sourced labels) a human label that a
    sure teacher contradicts is dropped, for one of the two is wrong; and where they are at odds
    about the whole person, all labels of that person are.
    """
    sure = people.teacher[..., 2] > SURE
    doubtful = np.isin(people.sources, disputed)
    conflict = doubtful[:, None] & (sure & _elsewhere(people) | _at_odds(people)[:, None])
    teacher = own_teacher(people)
    joints = np.where(people.labelled[..., None], people.joints, teacher[..., :2])
    weights = np.where(people.labelled, ~conflict, teacher_weight * teacher[..., 2])
    return joints.astype(np.float32), weights.astype(np.float32)


def own_teacher(people: People) -> NDArray[np.float32]:
    """The teacher's joints, (N, K, 3), all 0 for those in whose place it saw somebody else."""
    places, sure = people.teacher[..., :2], people.teacher[..., 2] > SURE
    low, high = people.boxes[:, None, :2], people.boxes[:, None, 2:]
    beyond = np.maximum(low - places, places - high).max(axis=-1)
    outside = _share(beyond > _far(people), sure) > _OUTSIDE
    another = outside | _at_odds(people)
    return np.asarray(np.where(another[:, None, None], 0, people.teacher))


def _at_odds(people: People) -> NDArray[np.bool_]:
    """On whom human and teacher disagree altogether, (N,)."""
    both = people.labelled & (people.teacher[..., 2] > SURE)
    enough = both.sum(axis=1) >= _LEAST_SHARED
    return np.asarray(enough & (_share(_elsewhere(people), both) > _AT_ODDS))


def _elsewhere(people: People) -> NDArray[np.bool_]:
    """Which joints the teacher places elsewhere than the human, (N, K)."""
    apart = np.linalg.norm(people.joints - people.teacher[..., :2], axis=-1)
    return np.asarray(people.labelled & (apart > _far(people)))


def _far(people: People) -> NDArray[np.float32]:
    return np.asarray(_APART * (people.boxes[:, 2:] - people.boxes[:, :2]).max(axis=1)[:, None])


def _share(some: NDArray[np.bool_], of: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray((some & of).sum(axis=1) / np.maximum(of.sum(axis=1), 1))
