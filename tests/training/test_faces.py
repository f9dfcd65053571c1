import numpy as np
import pytest

from rtpose.datasets.people import People
from rtpose.skeleton import BODY21, LSP14, Skeleton
from training.faces import FACE, faceless

TORSO = {
    "left_shoulder": (60, 20),
    "right_shoulder": (40, 20),
    "left_hip": (57, 60),
    "right_hip": (43, 60),
}
"""Of somebody who faces us: the left is at the right."""


def people(count: int, source: str = "set", skeleton: Skeleton = BODY21) -> People:
    """Nothing is known of them."""
    shape = (count, len(skeleton))
    return People(
        ("picture",) * count,
        (source,) * count,
        np.tile(np.array([0, 0, 100, 100], np.float32), (count, 1)),
        np.zeros((*shape, 2), np.float32),
        np.zeros(shape, bool),
        np.zeros((*shape, 3), np.float32),
    )


def taught(
    nose: float, mirrored: bool = False, turn_deg: float = 0.0, score: float = 0.9
) -> People:
    """One person, by the teacher, turned in the picture."""
    one = people(1)
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for name, (x, y) in TORSO.items():
        x = 100 - x if mirrored else x
        one.teacher[0, BODY21.index[name]] = (*(turn @ (x - 50, y - 50) + 50), score)
    one.teacher[0, BODY21.index["nose"]] = (0, 0, nose)
    return one


@pytest.mark.parametrize("turn_deg", [0, 90, 180, 217])
def test_a_back_and_an_unsure_nose_are_somebody_seen_from_behind(turn_deg: float):
    assert faceless(taught(0.5, mirrored=True, turn_deg=turn_deg), BODY21).all()
    assert not faceless(taught(0.5, turn_deg=turn_deg), BODY21).any()


def test_who_looks_over_the_shoulder_has_a_face():
    assert not faceless(taught(0.8, mirrored=True), BODY21).any()


def test_an_unsure_torso_says_nothing():
    assert not faceless(taught(0.5, mirrored=True, score=0.3), BODY21).any()


def test_a_face_by_hand_is_one_whatever_the_teacher_says():
    one = taught(0.5, mirrored=True)
    one.labelled[0, BODY21.index["left_eye"]] = True
    assert not faceless(one, BODY21).any()


def test_who_labels_faces_left_this_one_out():
    shoulders = [BODY21.index[f"{side}_shoulder"] for side in ("left", "right")]
    both = people(2)
    both.labelled[:, shoulders] = True
    # a set without faces labels nobody's
    assert not faceless(both, BODY21).any()
    both.labelled[0, BODY21.index["nose"]] = True
    assert faceless(both, BODY21).tolist() == [False, True]
    # of whom even a shoulder is missing, the face may only be forgotten
    both.labelled[1, shoulders[0]] = False
    assert not faceless(both, BODY21).any()


def test_skeletons_without_faces():
    assert not set(FACE) & set(LSP14.joints)
    assert not faceless(people(3, skeleton=LSP14), LSP14).any()
