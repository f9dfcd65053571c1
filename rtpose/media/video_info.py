"""What a file or stream says about its pictures: size, rate, clock, which way is up, colour."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rtpose.errors import RtposeError
from rtpose.pose import Image

_PLAIN_RATE = Fraction(25)
"""Frames a second where a file names no rate: what FFmpeg itself assumes for raw streams."""

_CLOCK_RATE = 1000
"""Frames a second from which on a stated rate is a clock and not a rate: Matroska's milliseconds,
where a browser that records names no rate, or MPEG's 90000. As a rate, H.264 of 1280x720 would be
declared to need more than the decoders of phones and browsers have."""

_SQUARE_ENOUGH = Fraction(2, 100)
"""Pixels whose sides differ by less are square: programs that scale a picture round its size, and
say so by such pixels. Those of camcorders and DVDs differ by 6 in 100 at least."""

_ODDEST_PIXEL = 4
"""Sides of a pixel differ at most by so much; what says more is mistaken."""


@dataclass(frozen=True)
class Orientation:
    """How stored pictures become upright: transposed first, then mirrored.

    Attributes
    ----------
    transpose : bool
        Swap rows and columns, hence width and height.
    flip_x, flip_y : bool
        Mirror left-right, top-bottom (after the transposition).
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, image: Image) -> Image:
        """Turn one picture.

        Parameters
        ----------
        image : (H, W, 3) uint8

        Returns
        -------
        (H, W, 3) or (W, H, 3) uint8, contiguous
        """
        turned: Any = cv2.transpose(image) if self.transpose else image
        if self.flip_x or self.flip_y:
            # cv2.flip's codes: 0 top-bottom, 1 left-right, -1 both.
            turned = cv2.flip(turned, -1 if self.flip_x and self.flip_y else int(self.flip_x))
        return np.ascontiguousarray(turned, dtype=np.uint8)


_TURNS = (
    Orientation(),
    Orientation(True, False, True),
    Orientation(False, True, True),
    Orientation(True, True, False),
)
"""By quarters of a turn, anticlockwise."""


@dataclass(frozen=True)
class Colour:
    """Colour tags, as the numbers of ITU-T H.273 (2 means unspecified).

    Attributes
    ----------
    matrix, primaries, transfer : int
        1 is BT.709, 5 and 6 are BT.601, 9 is BT.2020.
    """

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its pictures, and what a writer needs to make their like.

    Attributes
    ----------
    width, height : int
        Pixels of the upright picture; they are square.
    rate : Fraction
        Frames a second; 30000/1001 is exactly that. For a variable rate the nominal one.
    time_base : Fraction
        Seconds a tick of the file's clock lasts; every time is a whole number of ticks.
    origin_s : Fraction
        The file's own time at which its first stream begins. Audio is copied relative to it.
    start_s : Fraction
        Time of the first picture after ``origin_s``.
    frames : int or None
        How many pictures the container announces: an estimate, None where it announces nothing.
    has_audio : bool
    colour : Colour
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    origin_s: Fraction = Fraction(0)
    start_s: Fraction = Fraction(0)
    frames: int | None = None
    has_audio: bool = False
    colour: Colour = Colour()


def read_orientation(picture: VideoFrame) -> Orientation:
    """Read the display matrix, which phones write instead of turning the pictures."""
    try:
        side: Any = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV gives nothing of what goes along with a picture if FFmpeg has a kind of it that PyAV
        # has no name for: EXIF, a view's number in films for two eyes. It knows the turn, though.
        return _TURNS[round(picture.rotation / 90) % 4]
    if side is None:
        return Orientation()
    # Row 0 says where a step to the right in the stored picture goes, row 1 a step down;
    # libavutil/display.h: nine int32, of which [0], [1], [3], [4] are this 2x2.
    (xx, xy), (yx, yy) = np.frombuffer(bytes(side), np.int32).reshape(3, 3)[:2, :2].tolist()
    if abs(xx) >= abs(xy):
        return Orientation(False, xx < 0, yy < 0)
    return Orientation(True, yx < 0, xy < 0)


def square_size(picture: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height of a stored picture once its pixels are square.

    Camcorders and DVDs store pictures narrower, or wider, than they are meant to be seen; in them
    people are squeezed as none were that the networks learned from. Pixels are added, never taken
    away: a picture of 1440x1080 whose pixels are 4:3 becomes 1920x1080.
    """
    aspect = stream.sample_aspect_ratio or Fraction(1)
    longer = max(aspect, 1 / aspect)
    if longer - 1 < _SQUARE_ENOUGH or longer > _ODDEST_PIXEL:
        return picture.width, picture.height
    return (
        round(picture.width * max(aspect, Fraction(1))),
        round(picture.height * max(1 / aspect, Fraction(1))),
    )


def read_info(
    container: InputContainer,
    stream: VideoStream,
    first: VideoFrame,
    size: tuple[int, int],
    orientation: Orientation,
) -> VideoInfo:
    """Put together what is said in three places: container, stream and first picture.

    Parameters
    ----------
    container, stream, first
    size : (int, int)
        Width and height of pictures as they are decoded, before they are turned.
    orientation : Orientation

    Raises
    ------
    RtposeError
        If the stream counts no time.
    """
    if stream.time_base is None:
        raise RtposeError(f"{container.name}: has no clock; convert it to H.264 in .mp4")
    rates = (stream.guessed_rate, stream.average_rate, stream.base_rate)
    rate = next((r for r in rates if r and r < _CLOCK_RATE), _PLAIN_RATE)
    width, height = reversed(size) if orientation.transpose else size
    origin_s = Fraction(container.start_time or 0, av.time_base)
    first_s = origin_s
    # AVI has no times: of its first picture FFmpeg guesses one, late by a picture or two
    if first.pts is not None and container.format.name != "avi":
        first_s = first.pts * stream.time_base
    duration_s = None
    if stream.duration:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / av.time_base
    frames = stream.frames or (round(duration_s * rate) if duration_s else None)
    return VideoInfo(
        width=width,
        height=height,
        rate=rate,
        time_base=stream.time_base,
        origin_s=origin_s,
        start_s=max(first_s - origin_s, Fraction(0)),
        frames=frames,
        has_audio=bool(container.streams.audio),
        colour=Colour(first.colorspace, first.color_primaries, first.color_trc),
    )
