"""Where pictures come from: video files and streams, decoded with PyAV, upright and in order."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtpose.errors import RtposeError
from rtpose.media.fitted import fitted
from rtpose.media.hdr import PQ, standard_range, to_standard_range
from rtpose.media.urls import (
    BROKEN_IN_A_ROW,
    DARK_S,
    is_url,
    open_url,
    shown_url,
    source_name,
)
from rtpose.media.video_info import read_info, read_orientation, square_size
from rtpose.pose import Frame, Image

log = logging.getLogger(__name__)

_CLOCKLESS = {"mpjpeg", "mjpeg"}
"""Formats, by FFmpeg's names, that know nothing of time; it says 25 frames a second of them."""

JUMP_S = 1.0
"""Times that go back by more begin anew, as in files joined of several: they go on from the frame
before. Less is disorder, and straightened tick by tick."""

_CLOCK_JUMPS = 0x0200
"""FFmpeg's AVFMT_TS_DISCONT."""

_BROADCAST_JUMP_S = 10.0
"""The same for times that go on by more, in formats whose clocks are known to jump: MPEG-TS, and
HLS, which is made of it. FFmpeg's own tool has the same bound."""

_SHORTFALL_S = 0.5
"""How much earlier than announced a file may end before we say that it broke off. Containers
round the announced duration and pad the last audio packet, by far less than this."""


class VideoFile:
    """A video file or stream as upright frames, in order, at constant memory; read once.

    Opening decodes the first picture, so a file that opens has one. Pixels come square. HDR in PQ
    comes in the standard range, and `info` says so. Times come from the file's timestamps, counted
    from the first picture; a missing timestamp is the last one plus a frame's length, one that does
    not grow is the last one plus a tick.

    Parameters
    ----------
    source : str or Path
        A file on disk, or the address of a stream. A stream without times of its own (MJPEG)
        gets those at which its pictures came.

    Attributes
    ----------
    name : str
        What messages call it.
    info : VideoInfo
    broken : str or None
        After the last frame: where and why the file broke off, or what was damaged and left
        out; None where it was whole, or not wanted to its end.
    end_s : float or None
        After the last frame: until when that one is shown, where the file says so.

    Raises
    ------
    RtposeError
        If the file is missing, unreadable, empty, no video, or has no decodable picture.
    """

    def __init__(self, source: str | Path) -> None:
        self.name = shown_url(str(source))
        self._source = source_name(str(source))
        self.broken: str | None = None
        self.end_s: float | None = None
        self._stop: threading.Event | None = None
        self._count = 0
        self._last_s = 0.0
        self._trouble = _Trouble()
        self._container = _open(source)
        self._live = is_url(self.name) and not self._container.duration
        self._clockless = is_url(self.name) and self._container.format.name in _CLOCKLESS
        try:
            self._stream = _video_stream(self._container, self.name)
            self._stream.thread_type = "AUTO"
            self._pictures = self._decode()
            self._first = next(self._pictures, None)
            if self._first is None:
                why = self._trouble.ended or (
                    "no picture in it can be decoded; "
                    "check that it plays elsewhere, or convert it to H.264"
                )
                raise RtposeError(f"{self.name}: {why}")
            self._size = square_size(self._first, self._stream)
            self._orientation = read_orientation(self._first)
            self.info = read_info(
                self._container, self._stream, self._first, self._size, self._orientation
            )
            if self._clockless:
                self.info = replace(self.info, time_base=Fraction(1, 90_000))
            self._hdr = self.info.colour.transfer == PQ
            if self._hdr:
                self.info = replace(self.info, colour=standard_range(self.info.colour))
            self._image(self._first)  # a pixel format that cannot be converted shows here
        except av.FFmpegError as error:
            self.close()
            raise RtposeError(
                f"{self.name}: its pictures cannot be read ({error.strerror}); convert it to H.264"
            ) from error
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Give every frame, once; see `frames`."""
        return self.frames()

    def frames(self, stop: threading.Event | None = None) -> Iterator[Frame]:
        """Give every frame, once.

        Ends when the source does, or soon after `stop` is set: also where a stream sends on and
        on and there is no picture in it.

        Raises
        ------
        RuntimeError
            If the file was read before: open it again.
        """
        if self._first is None:
            raise RuntimeError(f"{self.name} was read already; open it again")
        if self._hdr:
            log.warning("%s: HDR pictures (PQ) are taken to the standard range", self.name)
        first, self._first = self._first, None
        self._stop = stop
        return self._frames(first)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the decoder."""
        self._container.close()

    def _frames(self, first: VideoFrame) -> Iterator[Frame]:
        time_base = self.info.time_base
        frame_ticks = max(1, round(1 / (self.info.rate * time_base)))
        back, on = JUMP_S / time_base, longest_step_s(self._container) / time_base
        ticks, began_s = -1, time.monotonic()
        origin = self._stamp(first)
        for picture in chain((first,), self._pictures):
            if ticks < 0:
                ticks = 0
            elif self._clockless:
                ticks = max(round((time.monotonic() - began_s) / time_base), ticks + 1)
            elif (stamp := self._stamp(picture)) is None or origin is None:
                ticks += frame_ticks
            else:
                if not -back <= stamp - origin - ticks <= on:
                    origin = stamp - ticks - frame_ticks
                ticks = max(stamp - origin, ticks + 1)
            self._count += 1
            self._last_s = float(ticks * time_base)
            unix_s = time.time() if self._live else None
            yield Frame(self._image(picture), self._count - 1, self._last_s, self._source, unix_s)
            shown_ticks = picture.duration  # 0 where nobody knows
        if shown_ticks and not self._clockless:
            self.end_s = self._last_s + float(shown_ticks * time_base)
        self.broken = self._verdict()

    def _stamp(self, picture: VideoFrame) -> int | None:
        """The file's time of a picture, in ticks."""
        # AVI knows no times and counts packets: FFmpeg takes their numbers for times of display,
        # which they are not where pictures are stored in another order than they are shown
        return picture.dts if self._container.format.name == "avi" else picture.pts

    def _image(self, picture: VideoFrame) -> Image:
        width, height = square_size(picture, self._stream)
        image: Any = picture.to_ndarray(format="bgr24", width=width, height=height)
        # recorded calls change their size on the way, and their shape where a phone is turned
        upright = self._orientation.apply(fitted(image, self._size))
        return to_standard_range(upright) if self._hdr else upright

    def _decode(self) -> Iterator[VideoFrame]:
        seen_s = time.monotonic()
        for packet in chain(self._packets(), (None,)):  # None drains the decoder
            try:
                pictures = self._stream.decode(packet)
            except av.FFmpegError as error:
                self._trouble.meet(error, self._place())
                if self._trouble.in_a_row >= BROKEN_IN_A_ROW and self._is_dark(seen_s):
                    self._trouble.ended = "what it sends cannot be decoded"
                    return
                continue
            if pictures:
                self._trouble.pass_by(len(pictures))
                yield from pictures
                seen_s = time.monotonic()  # what the taker took its time for is not counted

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Give the video's packets up to the end, or to where the file cannot be read further."""
        torn: Packet[VideoStream] | None = None
        came_s = time.monotonic()
        # all of them, subtitles too: any may be the one that lasts as long as was announced
        packets: Iterator[Packet[Any]] = self._container.demux()
        try:
            for packet in packets:
                if self._is_stopped():
                    return
                if not packet.size:  # the end mark that demux gives for each stream
                    continue
                self._trouble.end_s = max(self._trouble.end_s, _end_s(packet))
                if packet.stream is not self._stream:
                    if self._is_dark(came_s):
                        self._trouble.ended = f"no picture came for {DARK_S:g} s, only sound"
                        break
                    continue
                # The packet in which a file is cut off is torn. Decoding it would lose the good
                # pictures still in the decoder, so it is dropped; torn ones amid a file are not.
                if torn is not None:
                    yield torn
                    torn = None
                if packet.is_corrupt:
                    torn = packet
                else:
                    yield packet
                came_s = time.monotonic()
        except av.FFmpegError as error:
            self._trouble.meet(error, self._place())
        self._trouble.cut = torn is not None

    def _is_dark(self, since_s: float) -> bool:
        """Whether that is too long for a stream; a file may have sound alone for any time."""
        return is_url(self.name) and time.monotonic() - since_s >= DARK_S

    def _is_stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _place(self) -> str:
        return f"after frame {self._count} ({self._last_s:.1f} s)"

    def _verdict(self) -> str | None:
        trouble = self._trouble
        if self._is_stopped():
            return None
        if trouble.ended:
            return f"breaks off {self._place()}: {trouble.ended}"
        announced_s = _announced_end_s(self._container)
        short = announced_s is not None and trouble.end_s < announced_s - _SHORTFALL_S
        if trouble.count and not trouble.pictures_since:
            return f"breaks off {self._place()}: {trouble.reason}"
        if short or trouble.cut:
            return f"breaks off {self._place()}: the rest of the file is missing"
        if trouble.count:
            return f"{trouble.count} damaged parts left out, the first {trouble.place}"
        return None


@dataclass
class _Trouble:
    """What went wrong while reading one file; `ended` is why the rest was not waited for."""

    count: int = 0
    in_a_row: int = 0
    reason: str = ""
    place: str = ""
    pictures_since: int = 0
    end_s: float = 0.0
    cut: bool = False
    ended: str = ""

    def meet(self, error: av.FFmpegError, place: str) -> None:
        if not self.count:
            self.place = place
        self.count += 1
        self.in_a_row += 1
        self.reason = error.strerror or str(error)
        self.pictures_since = 0

    def pass_by(self, pictures: int) -> None:
        self.in_a_row = 0
        self.pictures_since += pictures


def longest_step_s(container: InputContainer) -> float:
    """By how much times may go on at most and still be believed, in seconds."""
    return _BROADCAST_JUMP_S if container.format.flags & _CLOCK_JUMPS else math.inf


def _open(source: str | Path) -> InputContainer:
    if isinstance(source, str) and is_url(source):
        return open_url(source)
    path = Path(source)
    try:
        if not path.exists():
            raise RtposeError(f"{path}: no such file")
        if path.is_dir():
            raise RtposeError(f"{path} is a folder; name a video file in it")
        if not path.is_file():
            raise RtposeError(f"{path} is not a regular file; name a video file")
        with path.open("rb") as file:
            if not file.read(1):
                raise RtposeError(f"{path} is empty; copy or download it again")
    except OSError as error:
        raise RtposeError(
            f"{path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    try:
        # The prefix keeps FFmpeg from taking "a:b.mp4" for a protocol named a.
        container = av.open(f"file:{path}", "r")
    except av.FFmpegError as error:
        raise RtposeError(
            f"{path} is not a video that can be read, or its end is missing "
            f"({error.strerror}); check that it plays elsewhere"
        ) from error
    return container


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    # without the cover of a song
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise RtposeError(f"{name} has no pictures, only sound; name a video")
    # of several the one that players show: a preview or a map of depths may come before it
    return next((s for s in streams if s.disposition & Disposition.default), streams[0])


def _end_s(packet: Packet[Any]) -> float:
    if packet.pts is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _announced_end_s(container: InputContainer) -> float | None:
    if not container.duration:
        return None
    # Matroska announces the end itself, others how long it is from the start to it
    start = 0 if "matroska" in container.format.name else container.start_time or 0
    return (container.duration + start) / av.time_base
