import numpy as np
import pytest

from benchmarks.identity import MOTIONS, PASSAGES, identity, passages, ways

LEFT, RIGHT = [0, 0, 10, 20], [100, 0, 110, 20]
TRUTH = {frame: np.array([LEFT, RIGHT], np.float32) for frame in range(10)}


def given(*ids: list[int]) -> dict[int, tuple[np.ndarray, list[int]]]:
    """Both boxes in every frame, with these ids; one id is the left person's."""
    return {
        frame: (np.array([LEFT, RIGHT], np.float32)[: len(pair)], pair)
        for frame, pair in enumerate(ids)
    }


def test_ids_that_stay_are_all_kept():
    counts = identity(TRUTH, given(*[[4, 7]] * 10))
    assert counts == {
        "kept": 20, "there": 20, "answered": 20, "switches": 0, "fragments": 0, "ids": 2,
    }  # fmt: skip


def test_a_swap_is_two_switches_and_costs_what_comes_after():
    counts = identity(TRUTH, given(*[[1, 2]] * 6, *[[2, 1]] * 4))
    assert counts["kept"] == 12
    assert counts["switches"] == 2
    assert counts["fragments"] == 0


def test_who_is_found_again_is_a_fragment_and_a_new_id_a_switch():
    counts = identity(TRUTH, given(*[[1, 2]] * 3, *[[1]] * 2, *[[1, 3]] * 5))
    assert counts["fragments"] == 1
    assert counts["switches"] == 1
    assert counts["kept"] == 10 + 5
    assert counts["answered"] == 18


def test_frames_in_which_one_hides_the_other_are_not_judged():
    truth = TRUTH | {4: None}
    counts = identity(truth, given(*[[1, 2]] * 4, [9], *[[1, 2]] * 5))
    assert counts["kept"] == counts["there"] == counts["answered"] == 18
    assert counts["fragments"] == 0


def test_boxes_elsewhere_keep_nothing():
    far = {f: (np.array([[50, 50, 60, 70]], np.float32), [1]) for f in range(10)}
    assert identity(TRUTH, far)["kept"] == 0
    none = {f: (np.zeros((0, 4), np.float32), []) for f in range(10)}
    assert identity(TRUTH, none)["answered"] == 0


def test_ids_of_a_clip_with_one_person_at_a_time_are_counted():
    box = np.array([LEFT], np.float32)
    first, last = PASSAGES[0]
    answers = {first + n: (box, [1 if n < 3 else 2]) for n in range(5)}
    answers |= {last: (box[:0], []), last + 1: (box, [3])}
    counts = passages(answers)
    assert counts == {"ids": 3, "single": 1, "changes": 1, "with_id": 5, "there": 6}


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_two_start_apart_and_meet_halfway(motion: str):
    start = ways(motion, 0.8, -1.0)
    assert start[0] < start[1]
    assert ways(motion, 0.8, 0.0) == (0, 0)
    came = ways(motion, 0.8, 1.0)
    assert came[0] < came[1] if motion == "turn" else came[0] > came[1]
