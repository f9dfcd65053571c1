from pathlib import Path

import numpy as np
import pytest

from benchmarks.claims import compare, log_loss, nearest_rival, of_several, row
from rtpose.bench.inference import no_detector
from rtpose.checkpoint import load_checkpoint
from rtpose.datasets.people import People
from rtpose.engines.eager import EagerEngine
from rtpose.estimator import Estimator
from rtpose.photographs import photographed_people
from rtpose.pictures import write_picture
from rtpose.shipped import find_weights


def test_rivals_are_of_the_same_kind_and_somebody_else():
    joints = np.array([[[0, 0, 1], [50, 0, 1]], [[30, 40, 1], [50, 5, 1]]], np.float32)
    squares = np.array([[0, 0, 100], [0, 0, 50]], np.float32)
    np.testing.assert_allclose(nearest_rival(joints, squares), [[1.0, 0.1], [1.0, 0.1]])


def test_a_promise_kept_costs_less():
    right = np.array([1, 0], np.float32)
    assert log_loss(np.array([0.9, 0.1]), right) == pytest.approx(-np.log(0.9))
    assert log_loss(np.array([0.1, 0.9]), right) == pytest.approx(-np.log(0.1))


def test_a_row_counts_what_is_drawn():
    before, after = np.array([0.9, 0.8, 0.4, 0.1]), np.array([0.9, 0.2, 0.2, 0.1])
    line = row("val", before, after, np.array([1, 1, 0, 0]))
    assert line.startswith("| val | 4 | 55.0 | 35.0 | 50.0 |")
    assert line.endswith("| 2 | 1 | 1 | 0 |")


def test_two_on_one_promise_less_than_each_alone(tmp_path: Path):
    """The same person labelled twice: all joints are claimed by both."""
    image, boxes = photographed_people()[0]
    write_picture(tmp_path / "a.png", image)
    checkpoint = load_checkpoint(find_weights("nano"))
    estimator = Estimator(
        no_detector, EagerEngine(checkpoint), checkpoint.skeleton, checkpoint.calibration
    )
    joints = estimator.place_joints(image, boxes[:1])
    two = People(
        ("a.png", "a.png"),
        ("photograph",) * 2,
        boxes[[0, 0]],
        joints[[0, 0], :, :2],
        np.ones((2, joints.shape[1]), bool),
        np.zeros((2, joints.shape[1], 3), np.float32),
    )
    assert len(of_several(two)) == 2
    assert not len(of_several(two.take(np.array([0]))))
    alone, settled, right, nearest = compare(two, tmp_path, estimator).T
    assert right.all()
    assert not nearest.any()
    sure = alone > 0.5
    assert sure.any()
    assert (settled[sure] < 0.8 * alone[sure]).all()
