"""The newest frame of a live source, with the time of its capture.

A camera is read in a thread of its own, which keeps the newest frame and no other. If it is lost,
that thread opens it again, with growing pauses, for as long as it is asked to.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from rtpose.errors import RtposeError
from rtpose.media.feeds import Feed, Lost
from rtpose.pose import Frame, Image

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses between attempts to open a lost camera: each is twice the one before."""

_STEADY_S = 10.0
"""A camera that gave pictures for so long is well again: after its next loss pauses start anew."""

_TICK_S = 0.1

_GRACE_S = 0.5
"""How long closing waits for the camera's thread."""


@dataclass(frozen=True)
class Waiting:
    """A camera that is lost.

    Attributes
    ----------
    since_s : float
        When it was lost, on the camera's clock.
    reason : str
    """

    since_s: float
    reason: str


class Camera:
    """The newest frame of a live source, now and for as long as it is there.

    Frames carry the moment their picture was got, by the machine's clock, which may be set
    meanwhile, and in seconds since the camera was opened; in a file, which waits until somebody
    asks for frames, since that was. Their numbers count all pictures got: those missing between two
    frames nobody had time for. A lost camera is opened again; its pictures may then have another
    size.

    Parameters
    ----------
    open_feed : callable
        Opens the camera, also again. What it raises at first is raised here, as the camera's
        name is the user's and may be wrong.
    name : str
        For messages.
    max_wait_s : float, optional
        How long to wait for a lost camera; None is for ever.

    Attributes
    ----------
    name : str
    size : (int, int)
        Width and height of the first picture.
    rate : float or None
        Frames a second that the camera promised when it was opened.
    waiting : Waiting or None
        Set while the camera is lost.
    paused : threading.Event
        To be set while nobody wants pictures: those of a camera go by, a file waits.
    """

    def __init__(
        self, open_feed: Callable[[], Feed], name: str, *, max_wait_s: float | None = None
    ) -> None:
        self.name = name
        self.waiting: Waiting | None = None
        self.paused = threading.Event()
        self._open_feed = open_feed
        self._max_wait_s = max_wait_s
        self._newest: Frame | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._asked = threading.Event()
        feed = open_feed()
        try:
            image = feed.read()
        except Lost as error:
            feed.close()
            raise RtposeError(f"{name}: {error}") from error
        if image is None:
            feed.close()
            raise RtposeError(f"{name}: has no pictures")
        self.rate = feed.rate
        self.size = image.shape[1], image.shape[0]
        self._began_s = time.monotonic()
        self._thread = threading.Thread(
            target=self._watch, args=(feed, image), name="rtpose-camera", daemon=True
        )
        self._thread.start()

    def now_s(self) -> float:
        """Seconds since the camera was opened: the clock of the frames' times."""
        return time.monotonic() - self._began_s

    def frames(self, stop: threading.Event | None = None) -> Iterator[Frame]:
        """Give the newest frame whenever one is asked for and there is one not given before.

        Ends when the source does, or when `stop` is set.

        Raises
        ------
        RtposeError
            If a lost camera does not come back in time.
        """
        self._asked.set()
        while True:
            with self._changed:
                while self._newest is None and not self._ended:
                    self._changed.wait(_TICK_S)
                    if stop is not None and stop.is_set():
                        return
                frame, self._newest = self._newest, None
            if frame is None:
                if self._error is not None:
                    raise self._error
                return
            yield frame

    def close(self) -> None:
        """Stop reading and let go of the camera.

        A read or an attempt to open it that is under way cannot be broken off: where it takes
        longer than half a second, the camera's thread lets go as soon as it is over, and nobody
        who quits waits for the time-out of a camera that fell silent.
        """
        self._stop.set()
        self._thread.join(_GRACE_S)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self, feed: Feed, first: Image) -> None:
        """Keep the newest picture, to the end."""
        try:
            if feed.waits:
                while not self._asked.wait(_TICK_S):
                    if self._stop.is_set():
                        feed.close()
                        return
                self._began_s = time.monotonic()
            for index, image in enumerate(chain((first,), self._pictures(feed))):
                if self.paused.is_set():
                    continue
                unix_s = None if feed.waits else time.time()
                with self._changed:
                    self._newest = Frame(image, index, self.now_s(), self.name, unix_s)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  raised again by who takes the frames
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _pictures(self, feed: Feed) -> Iterator[Image]:
        """Give picture after picture, across losses, to the end or until the camera is closed."""
        pause_s = _FIRST_PAUSE_S
        while True:
            opened_s = self.now_s()
            try:
                while not self._stop.is_set() and (image := feed.read()) is not None:
                    self._found(image)
                    while feed.waits and self.paused.is_set() and not self._stop.wait(_TICK_S):
                        pass
                    yield image
                return
            except Lost as loss:
                self._lost(str(loss))
            finally:
                feed.close()
            if self.now_s() - opened_s > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            again = None
            while again is None:
                if self._stop.wait(self._patience(pause_s)):
                    return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                try:
                    again = self._open_feed()
                except RtposeError as error:
                    log.info("%s; next attempt in %g s", error, pause_s)
            feed = again

    def _lost(self, why: str) -> None:
        if self.waiting is None:
            self.waiting = Waiting(self.now_s(), why)
            log.warning("%s is lost: %s", self.name, why)

    def _found(self, image: Image) -> None:
        if self.waiting is None:
            return
        gone_s = self.now_s() - self.waiting.since_s
        self.waiting = None
        height, width = image.shape[:2]
        log.warning("%s is back after %.1f s, %dx%d", self.name, gone_s, width, height)

    def _patience(self, pause_s: float) -> float:
        """Give the pause before the next attempt, or the error that it is too late for one."""
        lost = self.waiting
        if lost is None or self._max_wait_s is None:
            return pause_s
        left_s = self._max_wait_s - (self.now_s() - lost.since_s)
        if left_s <= 0:
            raise RtposeError(
                f"{self.name}: lost ({lost.reason}) and not back within {self._max_wait_s:g} s"
            )
        return min(pause_s, left_s)
