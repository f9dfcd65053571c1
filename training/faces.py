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
from training.views import TORSO, shoulder_width

FACE = ("nose", "left_eye", "right_eye")
"""What is hidden together; ears may be seen from behind."""

_TURNED = 0.35
"""Least width of the shoulders, in lengths of the torso, of somebody seen from behind (or in front)
and not from the side."""

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
    if not {*FACE, *TORSO} <= set(skeleton.joints):
        return nobody
    face, torso = ([skeleton.index[name] for name in names] for names in (FACE, TORSO))
    has_face = people.labelled[:, face].any(axis=1)
    sources = np.array(people.sources)
    labels_faces = np.isin(sources, np.unique(sources[has_face]))
    left_out = labels_faces & ~has_face & people.labelled[:, torso[:2]].all(axis=1)

    teacher = own_teacher(people)
    sure = (teacher[:, torso, 2] > SURE).all(axis=1)
    turned = sure & (shoulder_width(teacher[:, torso, :2]) < -_TURNED)
    behind = turned & ~has_face & (teacher[:, face[0], 2] < _UNSURE_NOSE)
    return np.asarray(left_out | behind)
