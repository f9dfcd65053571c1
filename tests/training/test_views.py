import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpose.datasets.people import People
from rtpose.skeleton import BODY21, LSP14, Skeleton
from training.views import TORSO, shoulder_width, sideways

FRONT = np.array([[60, 20], [40, 20], [57, 60], [43, 60]], np.float32)
"""Somebody who faces us: the left is at the right."""
SIDE = np.array([[52, 20], [48, 20], [51, 60], [49, 60]], np.float32)


def people(
    labelled: np.ndarray | None, taught: np.ndarray | None, skeleton: Skeleton = BODY21
) -> People:
    """One person, as a hand and as a teacher have the torso."""
    shape = (1, len(skeleton))
    joints, known = np.zeros((*shape, 2), np.float32), np.zeros(shape, bool)
    teacher = np.zeros((*shape, 3), np.float32)
    torso = [skeleton.index[name] for name in TORSO if name in skeleton.joints]
    if labelled is not None:
        joints[0, torso], known[0, torso] = labelled, True
    if taught is not None:
        teacher[0, torso] = np.column_stack([taught, np.full(4, 0.9)])
    box = np.array([[0, 0, 100, 100]], np.float32)
    return People(("picture",), ("set",), box, joints, known, teacher)


@given(st.floats(-180, 180), st.floats(0.1, 10))
def test_width_is_that_of_the_person_however_the_picture_lies(turn_deg: float, zoom: float):
    angle = np.radians(turn_deg)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    both = np.stack([FRONT, FRONT * (-1, 1)])
    turned = (both @ turn.T).astype(np.float32)
    assert shoulder_width(turned) == pytest.approx([0.5, -0.5], abs=1e-4)


def test_no_width_without_a_torso():
    assert np.isnan(shoulder_width(np.ones((1, 4, 2), np.float32))).all()


def test_a_hand_is_believed_before_the_teacher():
    assert not sideways(people(None, None), BODY21).any()
    assert sideways(people(SIDE, None), BODY21).all()
    assert sideways(people(None, SIDE), BODY21).all()
    assert not sideways(people(FRONT, SIDE), BODY21).any()
    assert not sideways(people(None, FRONT), BODY21).any()


def test_an_unsure_teacher_says_nothing():
    one = people(None, SIDE)
    one.teacher[0, BODY21.index["left_hip"], 2] = 0.3
    assert not sideways(one, BODY21).any()


def test_skeletons_without_a_torso():
    legs = Skeleton("legs", ("left_knee", "right_knee"), ())
    assert not sideways(people(None, None, legs), legs).any()
    assert sideways(people(SIDE, None, LSP14), LSP14).all()
