"""Whose face is not to be seen: people from behind, in helmets, with the head outside the picture.

No set says so, and a network that is never told draws eyes onto hair. Two signs tell: a person who
labels faces left this one out, or the teacher sees a back and is unsure of the nose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.people import People
from rtpose.skeleton import Skeleton
from training.trust import SURE, own_teacher

FACE = ("nose", "left_eye", "right_eye")
"""What is hidden together; ears may be seen from behind."""

_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")

_TURNED = 0.35
"""Least width of the shoulders, across the torso and over its length, of somebody seen from behind
(or in front) and not from the side."""

_UNSURE_NOSE = 0.6
"""The teacher places a nose on everybody. Of people seen from behind four in five of its scores lie
below, of people in front one in four."""


def faceless(people: People, skeleton: Skeleton) -> NDArray[np.bool_]:
    """Who has no face to be seen, (N,).

    Parameters
    ----------
    people : People
    skeleton : Skeleton
        Of their joints; nobody is without a face in one that has none.
    """
    nobody = np.zeros(len(people), bool)
    if not {*FACE, *_TORSO} <= set(skeleton.joints):
        return nobody
    face, torso = ([skeleton.index[name] for name in names] for names in (FACE, _TORSO))
    has_face = people.labelled[:, face].any(axis=1)
    sources = np.array(people.sources)
    labels_faces = np.isin(sources, np.unique(sources[has_face]))
    left_out = labels_faces & ~has_face & people.labelled[:, torso[:2]].all(axis=1)

    teacher = own_teacher(people)
    shoulders, hips = teacher[:, torso[:2], :2], teacher[:, torso[2:], :2]
    up = shoulders.mean(axis=1) - hips.mean(axis=1)
    across = shoulders[:, 0] - shoulders[:, 1]
    # positive where the left shoulder is at the right of the spine, as of people who face us
    facing = up[:, 0] * across[:, 1] - up[:, 1] * across[:, 0]
    sure = (teacher[:, torso, 2] > SURE).all(axis=1)
    turned = sure & (facing < -_TURNED * (up**2).sum(axis=1))
    behind = turned & ~has_face & (teacher[:, face[0], 2] < _UNSURE_NOSE)
    return np.asarray(left_out | behind)
