import json

import numpy as np
import pytest

from rtpose.pose import Detections
from rtpose.same_people import Agreement, compare_people

BOXES = np.array([[10, 10, 110, 210], [300, 10, 400, 210], [10, 10, 50, 50]], np.float32)
SCORES = np.array([0.9, 0.7, 0.4], np.float32)
RIGHT = (BOXES, SCORES)
NOBODY = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def test_the_same_people_hold_and_nobody_does():
    assert compare_people([RIGHT, NOBODY], [RIGHT, NOBODY], finite=True) == Agreement(
        4, 1.0, 0.0, finite=True
    )
    assert compare_people([NOBODY], [NOBODY], finite=True).holds


def test_a_little_is_tolerated():
    near = BOXES + np.float32([2, 3, -2, 3]), SCORES + np.float32([-0.1, 0.1, 0.05])
    found = compare_people([RIGHT], [near], finite=True)
    assert found.holds and found.overlap < 0.99 and abs(found.apart - 0.1) < 1e-5


@pytest.mark.parametrize(
    "other",
    [
        NOBODY,
        (BOXES[1:], SCORES[1:]),
        (BOXES + np.float32(50), SCORES),
        (BOXES, SCORES - np.float32(0.3)),
        (np.concatenate([BOXES, BOXES[:1] + 500]), np.append(SCORES, np.float32(0.8))),
    ],
    ids=["nobody", "one less", "elsewhere", "less sure", "one more"],
)
def test_others_do_not_hold(other: Detections):
    assert not compare_people([RIGHT], [other], finite=True).holds
    assert not compare_people([other], [RIGHT], finite=True).holds


def test_what_is_not_finite_never_holds():
    found = compare_people([RIGHT], [RIGHT], finite=False)
    assert not found.holds and str(found) == "some predictions are not finite numbers"


def test_the_record_can_be_read_back():
    found = Agreement(4, 0.9, 0.1, finite=True)
    assert Agreement(**json.loads(json.dumps(vars(found)))) == found
    assert str(found) == "4 boxes, overlap at least 0.90, scores at most 0.10 apart"
