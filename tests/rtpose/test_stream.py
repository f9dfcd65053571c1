import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from rtpose.stream import every_frame, newest_frame

pytestmark = pytest.mark.usefixtures("threads_gone")


def same(item: int) -> int:
    return item


def endless(made: list[int] | None = None) -> Iterator[int]:
    i = 0
    while True:
        if made is not None:
            made.append(i)
        yield i
        i += 1
        time.sleep(0.001)


def test_same_items_in_order_through_both_steps():
    results = every_frame(range(1000), lambda i: i + 1, lambda i: 2 * i)
    assert list(results) == [2 * (i + 1) for i in range(1000)]


def test_nothing():
    assert list(every_frame([], same, same)) == []
    assert list(newest_frame([], same)) == []


def test_an_ended_run_leaves_the_event_alone_and_one_left_early_sets_it():
    stop = threading.Event()
    assert list(every_frame([1, 2], same, same, stop=stop)) == [1, 2]
    assert not stop.is_set()
    results = every_frame(endless(), same, same, stop=stop)
    next(results)
    results.close()
    assert stop.is_set()


def test_stages_run_side_by_side():
    """Each of the three waits for the others at the same moment; one thread would wait for ever."""
    together = threading.Barrier(3)

    def meet_at(number: int) -> Callable[[int], int]:
        def step(item: int) -> int:
            if item == number:
                together.wait(60)
            return item

        return step

    frames = map(meet_at(2), range(8))
    assert list(every_frame(frames, meet_at(1), meet_at(0))) == list(range(8))


def test_never_far_ahead_of_the_caller():
    made: list[int] = []
    with closing(every_frame(endless(made), same, same)) as results:
        for taken in results:
            # four wait after each of three stages, and each has one in hand
            assert len(made) <= taken + 1 + 3 * 4 + 3
            if taken == 100:
                break


@pytest.mark.parametrize("stage", ["read", "look", "place"])
def test_a_stage_that_fails_ends_all_after_the_frames_before_it(stage: str):
    def fail_at_5(where: str) -> Callable[[int], int]:
        def step(item: int) -> int:
            if where == stage and item == 5:
                raise OSError("the camera is gone")
            return item

        return step

    got = []
    with pytest.raises(OSError, match="the camera is gone"):
        for item in every_frame(
            map(fail_at_5("read"), endless()), fail_at_5("look"), fail_at_5("place")
        ):
            got.append(item)
    assert got == [0, 1, 2, 3, 4]


def test_the_first_error_is_the_one_raised():
    def look(item: int) -> int:
        if item == 7:
            raise OSError("second")
        return item

    def place(item: int) -> int:
        if item == 6:
            raise OSError("first")
        return item

    with pytest.raises(OSError, match="first"):
        list(every_frame(endless(), look, place))


@pytest.mark.parametrize("live", [False, True])
def test_a_caller_that_fails_ends_all(live: bool):
    ended = threading.Event()

    def frames() -> Iterator[int]:
        try:
            yield from endless()
        finally:
            ended.set()

    results = newest_frame(frames(), same) if live else every_frame(frames(), same, same)
    with pytest.raises(OSError, match="disk full"), closing(results):
        for _ in results:
            raise OSError("disk full")
    assert ended.is_set()


@pytest.mark.parametrize("live", [False, True])
def test_the_event_ends_a_run_whose_source_is_silent(live: bool):
    stop = threading.Event()

    def silent() -> Iterator[int]:
        yield 0
        stop.wait()

    results = (
        newest_frame(silent(), same, stop=stop)
        if live
        else every_frame(silent(), same, same, stop=stop)
    )
    assert next(r for r in results if r is not None) == 0
    threading.Timer(0.3, stop.set).start()
    assert [r for r in results if r is not None] == []


def test_live_a_slow_caller_gets_the_newest_and_the_rest_is_dropped():
    made: list[int] = []
    taken = []
    with closing(newest_frame(endless(made), same)) as results:
        for result in results:
            if result is not None:
                # frames come every millisecond; were they kept, hundreds would wait in the end
                assert len(made) - result < 100
                taken.append(result)
                time.sleep(0.05)
            if len(taken) == 15:
                break
    assert taken == sorted(set(taken))
    assert taken[-1] > 2 * len(taken)


def test_live_none_comes_while_there_is_nothing():
    release = threading.Event()

    def late() -> Iterator[int]:
        release.wait()
        yield 1

    results = newest_frame(late(), same)
    assert next(results) is None
    release.set()
    assert [r for r in results if r is not None] == [1]


@pytest.mark.parametrize("stage", ["read", "step"])
def test_live_a_stage_that_fails_ends_all(stage: str):
    def fail(item: int) -> int:
        if item == 5:
            raise RuntimeError("out of memory")
        return item

    frames = map(fail, endless()) if stage == "read" else endless()
    step = fail if stage == "step" else same
    with pytest.raises(RuntimeError, match="out of memory"):
        for _ in newest_frame(frames, step):
            pass
