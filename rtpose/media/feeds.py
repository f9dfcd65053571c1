"""What pictures come from, live: a camera of this machine, a network stream, a file at its pace.

A feed is one connection: it is opened, read to its end or its loss, and closed. Coming back after
a loss is `rtpose.media.cameras`'.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtpose.errors import RtposeError
from rtpose.media.devices import in_use, list_devices, open_device
from rtpose.media.pace import GAP_S, Pace
from rtpose.media.sources import VideoFile
from rtpose.media.urls import BROKEN_IN_A_ROW, DARK_S, READ_S, is_url, open_url, shown_url
from rtpose.media.video_info import square_size
from rtpose.pose import Image

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0
"""How late a file's pictures may be to be caught up with; after more, it goes on from there."""

_UNREADABLE_S, _UNREADABLE = 1.0, 10
"""How long, and how often in a row, what a camera of this machine gives may be unreadable: a torn
packet on the cable is soon past; one that is unplugged fails at once, and always."""

_LOW_DELAY = {"flags": "low_delay", "analyzeduration": "1000000"}


class Lost(Exception):
    """A camera that gave pictures gives no more; the text says why."""


class Feed(Protocol):
    """One connection to a camera, from opening it to its end or loss.

    Attributes
    ----------
    rate : float or None
        Frames a second that the camera promises.
    waits : bool
        Whether nothing is missed where nobody reads: what it shows is stored.
    """

    rate: float | None
    waits: bool

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

    waits = False

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
        """Give the next picture that can be read; None where there is none for too long."""
        began_s = time.monotonic()
        for _ in range(_UNREADABLE):
            good, image = self._capture.read()
            if good:
                return np.asarray(image, dtype=np.uint8)
            if time.monotonic() - began_s >= _UNREADABLE_S:
                break
        return None


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

    waits = False

    def __init__(self, url: str) -> None:
        name = shown_url(url)
        self._url = url
        self._container = open_url(url, _LOW_DELAY)
        try:
            if not self._container.streams.video:
                raise RtposeError(f"{name} has no pictures, only sound")
            self._stream: VideoStream = self._container.streams.video[0]
            # threads that decode several frames at once hold each of them back
            self._stream.thread_type = "SLICE"
            self.ends = _has_end(self._container)
            self.rate = float(self._stream.average_rate) if self._stream.average_rate else None
            # HLS comes in pieces of seconds: without a pace one would see the last frame of each
            paced = "hls" in self._container.format.name
            self._pace = Pace(math.inf) if paced else None
            self._pictures = self._decode()
            self._first = next(self._pictures, None)
        except Lost as error:
            self.close()
            raise RtposeError(f"{name}: {error}") from error
        except av.FFmpegError as error:
            self.close()
            raise RtposeError(f"{name}: cannot be read ({error.strerror})") from error
        except BaseException:
            self.close()
            raise

    def read(self) -> Image | None:
        """See `Feed`."""
        picture, self._first = self._first, None
        if picture is None:
            picture = next(self._pictures, None)
        if picture is None:
            return None
        if self._pace and picture.time is not None:
            self._pace.wait_for(picture.time)
        width, height = square_size(picture, self._stream)
        image: Any = picture.to_ndarray(format="bgr24", width=width, height=height)
        return np.asarray(image, dtype=np.uint8)

    def close(self) -> None:
        """See `Feed`."""
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        broken, seen_s = 0, time.monotonic()
        for packet in self._packets():
            try:
                pictures = self._stream.decode(packet)
            except av.FFmpegError as error:
                broken += 1
                if broken >= BROKEN_IN_A_ROW and time.monotonic() - seen_s >= DARK_S:
                    raise Lost("what it sends cannot be decoded") from error
                continue
            yield from pictures
            if pictures:
                broken, seen_s = 0, time.monotonic()
        if not self._is_over():
            raise Lost("the stream ended")

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        # sound is asked for too: PyAV would pass over it in silence, and its time-out, which each
        # packet starts anew, would never see that the pictures have stopped
        packets: Iterator[Packet[Any]] = self._container.demux()
        came_s = time.monotonic()
        try:
            for packet in packets:
                if packet.size and packet.stream is self._stream:
                    yield packet
                    came_s = time.monotonic()
                elif packet.size and time.monotonic() - came_s >= DARK_S:
                    raise Lost(f"no picture came for {DARK_S:g} s, only sound")
        except av.FFmpegError as error:
            if isinstance(error, av.error.ExitError):  # PyAV's time-out
                raise Lost(f"nothing came for {READ_S:g} s") from error
            raise Lost(f"the stream broke off ({error.strerror})") from error

    def _is_over(self) -> bool:
        """Whether it was live and has come to its end; opened again, it would be a recording."""
        if self._pace is None:  # of what can be live, only HLS says that it has ended
            return False
        try:
            again = open_url(self._url, _LOW_DELAY)
        except RtposeError:
            return False
        with again:
            return _has_end(again)


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

    waits = True

    def __init__(self, source: str) -> None:
        self._file = VideoFile(source)
        rate = float(self._file.info.rate)
        self.rate: float | None = rate
        self._frames = iter(self._file)
        # the pictures of some, GIFs for one, are seconds apart
        self._pace = Pace(_PATIENCE_S, max(GAP_S, 2 / rate))
        self._shown_s: float | None = None

    def read(self) -> Image | None:
        """See `Feed`."""
        frame = next(self._frames, None)
        if frame is None:
            if self._file.broken:
                log.warning("%s %s", self._file.name, self._file.broken)
            return None
        if self._shown_s is not None:
            # time begins where reading goes on, which may be long after a first look
            self._pace.wait_for(self._shown_s)
            self._pace.wait_for(frame.time_s)
        self._shown_s = frame.time_s
        return frame.image

    def close(self) -> None:
        """See `Feed`."""
        self._file.close()


def _has_end(container: InputContainer) -> bool:
    return bool(container.duration)


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
