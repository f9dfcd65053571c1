import numpy as np
import pytest

from training.average_precision import match, score_detections

BOX = np.float32([[0, 0, 10, 10]])
AWAY = np.float32([[50, 50, 60, 60]])


def scored(boxes, *scores):
    return boxes, np.float32(scores)


def test_perfect_detections_score_100():
    found = [scored(BOX, 0.9), scored(np.vstack([BOX, AWAY]), 0.8, 0.7)]
    scores = score_detections([BOX, np.vstack([AWAY, BOX])], found)
    assert scores.ap50 == pytest.approx(100)
    assert scores.ap50_95 == pytest.approx(100)
    assert (scores.precision, scores.recall) == (100, 100)


def test_a_false_alarm_above_the_truth_halves_the_curve():
    scores = score_detections([BOX], [scored(np.vstack([AWAY, BOX]), 0.9, 0.5)])
    assert scores.ap50 == pytest.approx(50)


def test_a_false_alarm_in_an_empty_picture_counts():
    empty = np.zeros((0, 4), np.float32)
    scores = score_detections([BOX, empty], [scored(BOX, 0.5), scored(AWAY, 0.9)])
    assert scores.ap50 == pytest.approx(50)


def test_half_the_people_found_is_half_the_curve():
    nothing = scored(np.zeros((0, 4), np.float32))
    scores = score_detections([BOX, BOX], [scored(BOX, 0.9), nothing])
    # 51 of the 101 recalls, 0 to 0.5, are reached.
    assert scores.ap50 == pytest.approx(100 * 51 / 101)


def test_loose_boxes_count_up_to_their_overlap():
    loose = np.float32([[0, 0, 10, 7.2]])
    scores = score_detections([BOX], [scored(loose, 0.9)])
    assert scores.ap50 == pytest.approx(100)
    assert scores.ap50_95 == pytest.approx(50)  # 0.50, 0.55, 0.60, 0.65 and 0.70 of ten


def test_a_person_is_found_once():
    hits = match(BOX, np.vstack([BOX, BOX]))
    np.testing.assert_array_equal(hits, [[True, False]] * 10)


def test_nothing_found_is_zero_and_nobody_there_is_an_error():
    nothing = scored(np.zeros((0, 4), np.float32))
    assert score_detections([BOX], [nothing]).ap50 == 0
    with pytest.raises(ValueError, match="at least one person"):
        score_detections([BOX[:0]], [nothing])
