import logging
from pathlib import Path

import numpy as np
import pytest

from rtpose.datasets.people import arrange_people, square_boxes
from rtpose.errors import RtposeError
from rtpose.geometry import CROP_MARGIN, crop_squares
from rtpose.skeleton import COCO17, MPII16

LABELS = Path("labels.json")


def arrange(boxes=((0, 0, 10, 10),), joints=((1.0, 2.0),), names=("nose",), labelled=True):
    points = np.array([joints] * len(boxes), float)
    known = np.full(points.shape[:2], labelled)
    pictures = [f"{i}.jpg" for i in range(len(boxes))]
    return arrange_people(
        LABELS, names, COCO17, pictures, ["set"] * len(boxes), np.array(boxes, float),
        points, known, head_sizes=np.arange(float(len(boxes))),
    )  # fmt: skip


def test_joints_go_where_their_name_is():
    people = arrange(joints=((1, 2), (3, 4)), names=("left_knee", "nose"))
    assert people.joints[0, COCO17.index["left_knee"]].tolist() == [1, 2]
    assert people.joints[0, COCO17.index["nose"]].tolist() == [3, 4]
    assert people.labelled.sum() == 2


def test_a_name_that_nobody_knows_is_said(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        arrange(joints=((1, 2), (3, 4)), names=("nose", "left-knee"))
    assert "coco17 has no joints named left-knee" in caplog.text


def test_people_without_a_box_are_left_out_and_said(caplog: pytest.LogCaptureFixture):
    boxes = ((0, 0, 0, 5), (0, 0, 9, 9), (np.nan, 0, 9, 9), (5, 5, 4, 9))
    with caplog.at_level(logging.WARNING):
        people = arrange(boxes)
    assert people.pictures == ("1.jpg",)
    assert people.head_sizes is not None and people.head_sizes.tolist() == [1]
    assert "3 people left out, their boxes are empty, e.g. in 0.jpg" in caplog.text


def test_a_joint_that_is_no_number_is_not_labelled():
    people = arrange(joints=((np.nan, 2), (3, 4)), names=("nose", "left_eye"))
    assert people.labelled.sum() == 1 and np.isfinite(people.joints).all()


def test_nobody_left():
    with pytest.raises(RtposeError, match=r"labels\.json: no person with a joint of .* coco17"):
        arrange(labelled=False)


def test_take_keeps_what_belongs_together():
    people = arrange(((0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3))).take(np.array([2, 0]))
    assert people.pictures == ("2.jpg", "0.jpg")
    assert people.boxes[:, 2].tolist() == [3, 1]
    assert people.head_sizes is not None and people.head_sizes.tolist() == [2, 0]


def test_a_square_box_leads_to_a_square_crop_around_the_same_middle():
    squares = crop_squares(square_boxes(np.array([[30.0, 40.0]]), np.array([20.0])))
    side = 20 * CROP_MARGIN
    np.testing.assert_allclose(squares, [[30 - side / 2, 40 - side / 2, side]])


def test_a_skeleton_may_lack_what_the_set_has():
    """LSP's and MPII's names agree, so that either's people read in the other's joints."""
    people = arrange_people(
        LABELS, ("nose", "thorax"), MPII16, ["a.jpg"], ["set"], np.array([[0, 0, 9, 9]], float),
        np.ones((1, 2, 2)), np.ones((1, 2), bool),
    )  # fmt: skip
    assert np.flatnonzero(people.labelled[0]).tolist() == [MPII16.index["thorax"]]
