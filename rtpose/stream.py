"""The steps as overlapping stages: while one frame is drawn, the next is posed, a third read.

There are two ways to hand frames on. Files get `every_frame`: in order, with a few waiting between
stages, so that the whole is as fast as its slowest stage, and the results are those of one thread.
Cameras get `newest_frame`: what nobody had time for is dropped, so that what is shown is young.
A frame's detector and network run one after the other there: side by side with those of the next
frame they would show more frames, but older ones.

Every run has one stop event. A stage that fails, a consumer that leaves, and whoever holds the
event (Ctrl-C) all end every stage, and the threads are gone before the caller goes on.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

_AHEAD = 4
"""Frames that may wait between two stages: enough to even out slow ones, 25 MB at 1080p."""

STAGE_THREADS = max(1, (os.cpu_count() or 1) // 2)
"""CPU threads of each network when detector and pose network work side by side: half of the cores.

With all, both networks wait for cores that the other has. With three people or more in the frame
the pose network takes all cores nevertheless: most of the work is its own then, and with 20 people
half of them takes longer.
"""

TICK_S = 0.1
"""How long a stage waits before it looks whether it shall stop."""


@dataclass(frozen=True)
class _End:
    """What a stage hands on when it has no more, and why, if not because all is done."""

    error: BaseException | None = None


_Link = queue.Queue[Any]
_Put = Callable[[_Link, object, threading.Event], None]


def every_frame(
    frames: Iterable[A],
    look: Callable[[A], B],
    place: Callable[[B], C],
    *,
    stop: threading.Event | None = None,
) -> Generator[C, None, None]:
    """Every frame in order through two steps; reading, both steps and the caller run side by side.

    An error of any of them is raised here, after the results of the frames before it.

    Parameters
    ----------
    frames : iterable
        Read in a thread of its own.
    look, place : callable
        From a frame to what the second makes a result of, each called in order in one thread;
        see `rtpose.follow.Follower`.
    stop : threading.Event, optional
        Ends the run, with nothing raised. It is also set by the run itself if that ends before
        the frames do.
    """
    stop = stop or threading.Event()
    links: list[_Link] = [queue.Queue(_AHEAD) for _ in range(3)]
    with closing(_run(frames, (look, place), links, _put_in_order, stop)) as results:
        for result in results:
            if result is not None:
                yield result


def newest_frame(
    frames: Iterable[A], step: Callable[[A], B], *, stop: threading.Event | None = None
) -> Generator[B | None, None, None]:
    """The newest frames through one step beside the caller; results the caller misses are dropped.

    Parameters
    ----------
    frames : iterable
        That of a camera: always the newest, see `rtpose.media.cameras.Camera`.
    step : callable
        From a frame to a result, called in the thread that takes the frames.
    stop : threading.Event, optional
        As in `every_frame`.

    Yields
    ------
    result or None
        None whenever nothing came for a tenth of a second, so that the caller can look after
        other things.
    """
    links: list[_Link] = [queue.Queue(1)]
    results = (step(frame) for frame in frames)
    return _run(results, (), links, _put_newest, stop or threading.Event())


def _run(
    source: Iterable[Any],
    steps: Sequence[Callable[[Any], Any]],
    links: Sequence[_Link],
    put: _Put,
    stop: threading.Event,
) -> Generator[Any, None, None]:
    """Run a thread for the source and one for each step; a link follows each of them."""
    threads = [threading.Thread(target=_read, args=(source, links[0], put, stop))]
    for step, inbox, outbox in zip(steps, links[:-1], links[1:], strict=True):
        threads.append(threading.Thread(target=_work, args=(step, inbox, outbox, put, stop)))
    for thread in threads:
        thread.name = "rtpose-stage"
        thread.daemon = True
        thread.start()
    done = False
    try:
        while not stop.is_set():
            try:
                entry = links[-1].get(timeout=TICK_S)
            except queue.Empty:
                yield None
                continue
            if isinstance(entry, _End):
                if entry.error is not None:
                    raise entry.error
                done = True
                return
            yield entry
    finally:
        if not done:
            stop.set()
        for thread in threads:
            thread.join()


def _read(source: Iterable[Any], outbox: _Link, put: _Put, stop: threading.Event) -> None:
    try:
        for item in source:
            put(outbox, item, stop)
            if stop.is_set():
                break
    except BaseException as error:  # noqa: BLE001  raised again by the consumer
        _put_in_order(outbox, _End(error), stop)
    else:
        _put_in_order(outbox, _End(), stop)
    finally:
        # a generator that is left early must end in the thread that ran it
        if isinstance(source, Generator):
            source.close()


def _work(
    step: Callable[[Any], Any], inbox: _Link, outbox: _Link, put: _Put, stop: threading.Event
) -> None:
    try:
        while not isinstance(entry := _take(inbox, stop), _End):
            put(outbox, step(entry), stop)
    except BaseException as error:  # noqa: BLE001  raised again by the consumer
        entry = _End(error)
    # never in place of the last result
    _put_in_order(outbox, entry, stop)


def _take(inbox: _Link, stop: threading.Event) -> Any:
    while not stop.is_set():
        with suppress(queue.Empty):
            return inbox.get(timeout=TICK_S)
    return _End()


def _put_in_order(outbox: _Link, entry: object, stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(queue.Full):
            outbox.put(entry, timeout=TICK_S)
            return


def _put_newest(outbox: _Link, entry: object, stop: threading.Event) -> None:
    with suppress(queue.Empty):
        outbox.get_nowait()
    # nobody else puts into this link, so there is room now
    outbox.put_nowait(entry)
