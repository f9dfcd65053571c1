import threading
from collections.abc import Iterator

import numpy as np
import pytest

from rtpose.pose import Frame, Image, Pose
from rtpose.stream import ahead, pose_frames
from rtpose.tracker import Tracker


def stages() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "rtpose-stage"]


def test_same_items_in_order():
    assert list(ahead(iter(range(1000)), 3)) == list(range(1000))
    assert stages() == []


def test_nothing():
    assert list(ahead([])) == []


def test_never_further_ahead_than_asked():
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    for taken in ahead(items(), 3):
        # three wait, one is in the producer's hand
        assert len(made) <= taken + 1 + 3 + 1


def test_an_error_comes_after_what_came_before_it():
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the camera is gone")

    got = []
    with pytest.raises(OSError, match="the camera is gone"):
        for item in ahead(items()):
            got.append(item)
    assert got == [1, 2]
    assert stages() == []


def test_leaving_early_ends_the_thread_and_its_source():
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            ended.set()

    stream = ahead(endless())
    next(stream)
    stream.close()
    assert ended.is_set()
    assert stages() == []


def frames(count: int) -> Iterator[Frame]:
    for i in range(count):
        yield Frame(np.full((4, 4, 3), i, np.uint8), i, i / 30)


def one_person(image: Image) -> tuple[Pose, ...]:
    x = float(image[0, 0, 0])
    box = np.array([x, 0, x + 50, 100], np.float32)
    joints = np.full((21, 3), 0.9, np.float32)
    joints[:, 0] = x + np.linspace(0, 50, 21)
    joints[:, 1] = np.linspace(0, 100, 21)
    return (Pose(box, 0.9, joints),)


def test_every_frame_is_posed_once_in_order_and_followed():
    results = list(pose_frames(frames(50), one_person, Tracker()))
    assert [r.frame.index for r in results] == list(range(50))
    assert [float(r.poses[0].box[0]) for r in results] == [float(i) for i in range(50)]
    assert {r.poses[0].id for r in results} == {1}


def test_a_failing_stage_ends_all():
    def fails(image: Image) -> tuple[Pose, ...]:
        if image[0, 0, 0] == 5:
            raise RuntimeError("out of memory")
        return ()

    with pytest.raises(RuntimeError, match="out of memory"):
        list(pose_frames(frames(50), fails, Tracker()))
    assert stages() == []
