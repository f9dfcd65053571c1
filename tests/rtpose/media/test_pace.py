import math

import pytest

from rtpose.media import pace
from rtpose.media.pace import Pace


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    return made


def ages(clock: Clock, paced: Pace, stalls: list[tuple[float, float]]) -> list[float]:
    """Of pictures that were taken live for 90 s, and come in pieces of two seconds.

    Nothing comes in a stall, from the first to the second of its times, but all is kept.
    """
    began_s, found = clock.now_s, []
    for index in range(90 * 30):
        taken_s = index / 30
        clock.now_s = max(clock.now_s, began_s + 2 * (taken_s // 2 + 1))
        for first_s, last_s in stalls:
            if first_s <= clock.now_s - began_s < last_s:
                clock.now_s = began_s + last_s
        paced.wait_for(taken_s)
        found.append(clock.now_s - began_s - taken_s)
    return found


def test_pieces_are_shown_picture_by_picture(clock: Clock):
    assert ages(clock, Pace(math.inf), []) == pytest.approx([2.0] * 2700)


def test_after_stalls_a_live_stream_is_as_young_as_before(clock: Clock):
    found = ages(clock, Pace(math.inf), [(20, 25), (40, 48), (60, 72)])
    assert max(found) > 10
    assert found[-1] == pytest.approx(2.0)
    # in between, too, it is paced and does not only run after what comes
    assert found[34 * 30] == pytest.approx(2.0)


def test_pieces_that_were_missed_do_not_make_a_live_stream_older(clock: Clock):
    """As where the server keeps the last pieces alone: the times jump on, amid being late."""
    paced = Pace(math.inf)
    paced.wait_for(0)
    clock.now_s += 10
    paced.wait_for(5)
    for taken_s in (5.5, 6, 7, 8, 9, 10, 11):
        paced.wait_for(taken_s)
    assert clock.now_s == 111


@pytest.mark.parametrize("to_s", [1000.0, -1000.0])
@pytest.mark.parametrize("patience_s", [1.0, math.inf])
def test_times_that_jump_are_not_waited_for_and_paced_again(
    clock: Clock, to_s: float, patience_s: float
):
    paced = Pace(patience_s)
    for time_s in (0.0, 0.5, to_s):
        paced.wait_for(time_s)
    assert clock.now_s == 100.5
    paced.wait_for(to_s + 0.5)
    assert clock.now_s == 101


def test_a_file_that_stalled_goes_on_from_there(clock: Clock):
    """Nothing of it is missed by being late: it is not shown faster afterwards."""
    paced = Pace(1.0)
    paced.wait_for(0)
    clock.now_s += 10
    paced.wait_for(0.5)
    paced.wait_for(1)
    assert clock.now_s == 110.5


def test_a_file_that_is_a_little_late_catches_up(clock: Clock):
    paced = Pace(1.0)
    paced.wait_for(0)
    clock.now_s += 0.75
    paced.wait_for(0.25)
    assert clock.now_s == 100.75
    paced.wait_for(1)
    assert clock.now_s == 101
