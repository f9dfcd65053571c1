"""Live sources: cameras and streams as frames with the time of their capture, newest first.

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
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtpose.errors import RtposeError
from rtpose.media.devices import in_use, list_devices, open_device
from rtpose.media.sources import VideoFile
from rtpose.media.urls import READ_S, is_url, open_url, shown_url
from rtpose.pose import Frame, Image

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses between attempts to open a lost camera: each is twice the one before."""

_STEADY_S = 10.0
"""A camera that gave pictures for so long is well again: after its next loss pauses start anew."""

_TICK_S = 0.1

_LOW_DELAY = {"flags": "low_delay", "analyzeduration": "1000000"}

_BROKEN_IN_A_ROW = 100
"""Packets that give no picture before a stream is lost, not merely disturbed."""


class Lost(Exception):
    """A camera that gave pictures gives no more; the text says why."""


class Feed(Protocol):
    """One connection to a camera, from opening it to its end or loss.

    Attributes
    ----------
    rate : float or None
        Frames a second that the camera promises.
    """

    rate: float | None

    def read(self) -> Image | None:
        """Wait for the next picture, (H, W, 3) uint8 BGR; None at the end of what has one.

        Raises
        ------
        Lost
            If there will be no more pictures, though there should be.
        """
        ...

    def close(self) -> None:
        """Let go of the camera."""
        ...


class DeviceFeed:
    """A camera of this machine.

    Parameters
    ----------
    device, size, fps
        See `rtpose.media.devices.open_device`.

    Raises
    ------
    RtposeError
        If it cannot be opened or gives no picture.
    """

    def __init__(
        self,
        device: int | str,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
    ) -> None:
        self._capture = open_device(device, size, fps)
        self._first = self._grab()
        if self._first is None:
            self.close()
            raise RtposeError(in_use(device))
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or None

    def read(self) -> Image | None:
        """See `Feed`."""
        image, self._first = self._first, None
        if image is None:
            image = self._grab()
        if image is None:
            raise Lost("it gives no more pictures; is it still plugged in?")
        return image

    def close(self) -> None:
        """See `Feed`."""
        self._capture.release()

    def _grab(self) -> Image | None:
        good, image = self._capture.read()
        return np.asarray(image, dtype=np.uint8) if good else None


class StreamFeed:
    """A stream over the network, as it comes.

    Parameters
    ----------
    url : str

    Attributes
    ----------
    ends : bool
        Whether it is a file with an end, and not a live stream.

    Raises
    ------
    RtposeError
        If it cannot be reached or gives no picture; the text names why.
    """

    def __init__(self, url: str) -> None:
        name = shown_url(url)
        self._container = open_url(url, _LOW_DELAY)
        try:
            if not self._container.streams.video:
                raise RtposeError(f"{name} has no pictures, only sound")
            self._stream: VideoStream = self._container.streams.video[0]
            # threads that decode several frames at once hold each of them back
            self._stream.thread_type = "SLICE"
            self.ends = bool(self._container.duration)
            self.rate = float(self._stream.average_rate) if self._stream.average_rate else None
            # HLS comes in pieces of seconds: without a pace one would see the last frame of each
            paced = "hls" in self._container.format.name
            self._pace = _Pace() if paced else None
            self._pictures = self._decode()
            self._first: VideoFrame | None = next(self._pictures)
        except Lost as error:
            self.close()
            raise RtposeError(f"{name}: {error}") from error
        except BaseException:
            self.close()
            raise

    def read(self) -> Image | None:
        """See `Feed`."""
        picture, self._first = self._first, None
        if picture is None:
            picture = next(self._pictures)
        if self._pace and picture.time is not None:
            self._pace.wait_for(picture.time)
        image: Any = picture.to_ndarray(format="bgr24")
        return np.asarray(image, dtype=np.uint8)

    def close(self) -> None:
        """See `Feed`."""
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        broken = 0
        for packet in self._packets():
            try:
                pictures = self._stream.decode(packet)
            except av.error.InvalidDataError as error:
                broken += 1
                if broken >= _BROKEN_IN_A_ROW:
                    raise Lost("what it sends cannot be decoded") from error
                continue
            broken = 0 if pictures else broken
            yield from pictures
        raise Lost("the stream ended")

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        packets: Iterator[Packet[VideoStream]] = self._container.demux(self._stream)
        try:
            for packet in packets:
                if packet.size:
                    yield packet
        except av.FFmpegError as error:
            if isinstance(error, av.error.ExitError):  # PyAV's time-out
                raise Lost(f"nothing came for {READ_S:g} s") from error
            raise Lost(f"the stream broke off ({error.strerror})") from error


class FileFeed:
    """A video file, or one on a web server, shown at its own pace.

    Parameters
    ----------
    source : str
        Path or address.

    Raises
    ------
    RtposeError
        If it cannot be read as a video.
    """

    def __init__(self, source: str) -> None:
        self._file = VideoFile(source)
        self.rate: float | None = float(self._file.info.rate)
        self._frames = iter(self._file)
        self._pace = _Pace()

    def read(self) -> Image | None:
        """See `Feed`."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        self._pace.wait_for(frame.time_s)
        return frame.image

    def close(self) -> None:
        """See `Feed`."""
        self._file.close()


class _Pace:
    """Waits until a picture's time has come; a gap of over a second is skipped."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    def wait_for(self, time_s: float) -> None:
        now_s = time.monotonic()
        if self._offset_s is None:
            self._offset_s = now_s - time_s
        wait_s = time_s + self._offset_s - now_s
        if -1 <= wait_s <= 1:
            time.sleep(max(wait_s, 0))
        else:
            self._offset_s = now_s - time_s


def open_feed(source: str, size: tuple[int, int] | None = None, fps: float | None = None) -> Feed:
    """Open what the user named.

    Parameters
    ----------
    source : str
        Number of a camera, path of a device or a file, or an address.
    size, fps
        Wishes; only cameras of this machine can be asked.

    Raises
    ------
    RtposeError
        If it cannot be had; see the feeds.
    """
    if source.isdecimal():
        return DeviceFeed(int(source), size, fps)
    if is_url(source):
        feed = StreamFeed(source)
        if not feed.ends:
            return feed
        feed.close()
        return FileFeed(source)
    if source.startswith("/dev/"):
        return DeviceFeed(source, size, fps)
    if Path(source).exists():
        return FileFeed(source)
    found = ", ".join(list_devices()) or "none"
    raise RtposeError(
        f"camera {source}: no such file; name a camera's number (found: {found}), "
        "a /dev path, a video file or an address such as rtsp://..."
    )


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

    Frames carry the seconds from opening the camera to the moment the picture was got, and count
    all pictures got: numbers missing between two frames are those that nobody had time for. A
    lost camera is opened again; its pictures may then have another size.

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
    """

    def __init__(
        self, open_feed: Callable[[], Feed], name: str, *, max_wait_s: float | None = None
    ) -> None:
        self.name = name
        self.waiting: Waiting | None = None
        self._open_feed = open_feed
        self._max_wait_s = max_wait_s
        self._newest: Frame | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
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
        """Stop reading and let go of the camera."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _watch(self, feed: Feed, first: Image) -> None:
        """Keep the newest picture, to the end."""
        try:
            for index, image in enumerate(chain((first,), self._pictures(feed))):
                with self._changed:
                    self._newest = Frame(image, index, self.now_s())
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
