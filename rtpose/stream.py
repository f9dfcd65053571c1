"""The steps as overlapping stages: while one frame is drawn, the next is posed, a third read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from rtpose.pose import Frame, FrameResult, Image, Pose
from rtpose.tracker import Tracker

T = TypeVar("T")

_AHEAD = 4
"""Frames that may wait between two stages: enough to even out slow ones, 25 MB at 1080p."""


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def ahead(items: Iterable[T], depth: int = _AHEAD) -> Generator[T, None, None]:
    """The same items in the same order, produced by a thread up to `depth` of them ahead.

    An error of the producer is raised here, after the items that came before it. Closing the
    iterator (leaving the loop) stops the thread and waits for it.
    """
    waiting: queue.Queue[_Item[T] | _End] = queue.Queue(depth)
    stop = threading.Event()

    def offer(entry: _Item[T] | _End) -> bool:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not offer(_Item(item)):
                    return
        except BaseException as error:  # noqa: BLE001  raised again by the consumer
            offer(_End(error))
        else:
            offer(_End(None))
        finally:
            # a generator that is left early must end in the thread that ran it
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=produce, name="rtpose-stage", daemon=True)
    thread.start()
    try:
        while isinstance(entry := waiting.get(), _Item):
            yield entry.value
        if entry.error is not None:
            raise entry.error
    finally:
        stop.set()
        thread.join()


def pose_frames(
    frames: Iterable[Frame],
    estimate: Callable[[Image], tuple[Pose, ...]],
    tracker: Tracker,
) -> Generator[FrameResult, None, None]:
    """Every frame in order with its people, ids given; reading and posing overlap the caller.

    Parameters
    ----------
    frames : iterable of Frame
        Read in a thread of its own.
    estimate : callable
        Picture to poses, see `rtpose.estimator.Estimator`; called in a second thread.
    tracker : Tracker
        Gives ids; called in order.
    """

    def results() -> Iterator[FrameResult]:
        for frame in ahead(frames):
            yield FrameResult(frame, tracker.update(estimate(frame.image), frame.time_s))

    return ahead(results())
