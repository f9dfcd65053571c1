import numpy as np
import pytest

from rtpose.datasets.people import People
from training.trust import own_teacher, trusted_joints

BOX = np.array([[0, 0, 100, 100]], np.float32)


def person(human: np.ndarray, teacher: np.ndarray, labelled: np.ndarray | None = None) -> People:
    """One of a crowd-sourced set; joints (K, 2), the teacher's (K, 3)."""
    known = np.ones(len(human), bool) if labelled is None else labelled
    return People(
        ("a",), ("crowd",), BOX, np.float32(human)[None], known[None], np.float32(teacher)[None]
    )


def test_whom_to_trust():
    box = np.array([[0, 0, 100, 100]], np.float32)
    human = np.array([[[10, 10], [50, 50], [0, 0]]], np.float32)
    teacher = np.array([[[11, 10, 0.9], [80, 50, 0.9], [30, 30, 0.5]]], np.float32)
    labelled = np.array([[True, True, False]])
    people = People(("a",), ("crowd",), box, human, labelled, teacher)
    joints, weights = trusted_joints(people, 0.7, ())
    assert joints[0].tolist() == [[10, 10], [50, 50], [30, 30]]
    np.testing.assert_allclose(weights, [[1, 1, 0.35]])
    _, weights = trusted_joints(people, 0.7, ("crowd",))
    np.testing.assert_allclose(weights, [[1, 0, 0.35]])


FIVE = np.array([[20, 20], [80, 20], [20, 80], [80, 80], [50, 50]], float)


def sure(places: np.ndarray, score: float = 0.9) -> np.ndarray:
    return np.concatenate([places, np.full((len(places), 1), score)], axis=1)


def test_sides_that_are_swapped_as_a_whole_teach_nothing():
    """Also those joints that happen to lie near, and those the teacher is unsure of."""
    teacher = sure(FIVE[[1, 0, 3, 2, 4]])
    teacher[3, 2] = 0.3
    sixth = [[10, 10]]  # labelled by the teacher alone
    human, teacher = np.concatenate([FIVE, sixth]), np.concatenate([teacher, sure(sixth)])
    people = person(human, teacher, np.arange(6) < 5)
    _, weights = trusted_joints(people, 0.7, ("crowd",))
    assert not weights.any()
    # labels that are beyond doubt stay, and the teacher meant somebody else
    _, weights = trusted_joints(people, 0.7, ())
    assert weights[0].tolist() == [1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("shared", [3, 5])
def test_a_few_joints_are_no_argument_about_a_person(shared: int):
    teacher = sure(FIVE[[1, 0, 3, 2, 4]])
    teacher[shared:, 2] = 0
    _, weights = trusted_joints(person(FIVE, teacher), 0.7, ("crowd",))
    assert weights[0].tolist() == ([0, 0, 0, 1, 1] if shared == 3 else [0, 0, 0, 0, 0])


def test_a_teacher_who_looked_beside_the_box_meant_the_neighbour():
    nobody = np.zeros(5, bool)
    beside = FIVE + np.array([0, 40])  # two of five below the box by 20
    assert not own_teacher(person(FIVE, sure(beside), nobody)).any()
    # one of five is a limb that reaches out; a tenth of the box is how far boxes are off
    reaching = FIVE + np.outer([0, 0, 0, 1, 0], [40, 0])
    assert own_teacher(person(FIVE, sure(reaching), nobody)).all()
    assert own_teacher(person(FIVE, sure(FIVE + np.array([0, 29])), nobody)).all()


def test_joints_that_the_teacher_is_unsure_of_say_nothing_about_whom_it_meant():
    people = person(FIVE, sure(FIVE + 100, score=0.3), np.zeros(5, bool))
    assert own_teacher(people).all()
