"""A short clip of real people, made on the spot: what the demo, tests and benchmarks run on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame

from rtpose.errors import RtposeError
from rtpose.media.sinks import ENCODER_OPTIONS
from rtpose.photographs import read_photograph
from rtpose.pose import Image

_COURSES = (
    ("bus.jpg", (0.50, 0.57), (0.40, 0.60)),
    ("zidane.jpg", (0.38, 0.50), (0.62, 0.45)),
)
"""Photographs of people (see `rtpose.photographs`), and where the middle of the view
goes in each: from and to, in parts of width and height; chosen so that the people stay in it."""

_ZOOM = 1.15
"""How much closer the view comes in the course of one photograph."""

_RATE = Fraction(30000, 1001)
"""Frames a second."""

_SOUND_RATE, _TONE_HZ, _LOUDNESS = 48000, 220.0, 0.05
_BLOCK = 1024
"""Samples in one AAC packet."""


def write_sample(
    path: str | Path,
    seconds: float = 6.0,
    size: tuple[int, int] = (640, 480),
) -> None:
    """Write a clip: a slow pan and zoom over two photographs, one after the other, with a tone.

    Parameters
    ----------
    path : str or Path
        An .mp4 file; replaced if it exists.
    seconds : float
        Length, rounded to whole frames, at least two.
    size : (int, int)
        Width and height in pixels, both even.

    Raises
    ------
    RtposeError
        If the photographs are not where ultralytics installs them, or the file cannot be
        written.
    """
    count = max(2, round(seconds * _RATE))
    photographs = [read_photograph(name) for name, _, _ in _COURSES]
    try:
        with av.open(f"file:{path}", "w", container_options={"movflags": "+faststart"}) as output:
            video = output.add_stream("libx264", rate=_RATE, options=dict(ENCODER_OPTIONS))
            coder = video.codec_context
            coder.width, coder.height = size
            coder.pix_fmt, coder.time_base = "yuv420p", 1 / _RATE
            audio = output.add_stream("aac", rate=_SOUND_RATE, layout="mono")
            sound = _tone(float(count / _RATE))
            for i in range(count):
                image = _view(photographs, i / count, size)
                picture = av.VideoFrame.from_ndarray(image, format="bgr24")
                picture.pts, picture.time_base = i, 1 / _RATE
                output.mux(video.encode(picture))
                while (block := next(sound, None)) is not None:
                    output.mux(audio.encode(block))
                    if block.pts is not None and block.pts > (i + 1) / _RATE * _SOUND_RATE:
                        break
            output.mux(video.encode(None))
            output.mux(audio.encode(None))
    except (av.FFmpegError, OSError) as error:
        raise RtposeError(f"{path} cannot be written ({error.strerror})") from error


def _view(photographs: list[Image], progress: float, size: tuple[int, int]) -> Image:
    """Cut one picture out of the clip's course (progress 0 to 1), to sub-pixels."""
    place = progress * len(photographs)
    photograph = photographs[int(place)]
    t = place % 1
    t = t * t * (3 - 2 * t)  # starts and ends softly
    whole = np.array(photograph.shape[1::-1])  # width, height
    view_size = np.array(size)
    scale = float(max(view_size / whole)) * _ZOOM**t
    margin = view_size / (2 * scale)
    begin, end = np.array(_COURSES[int(place)][1:])
    centre = np.clip((begin + t * (end - begin)) * whole, margin, whole - margin)
    shift = view_size / 2 - scale * centre
    turn = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    view = cv2.warpAffine(
        photograph, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(view, dtype=np.uint8)


def _tone(seconds: float) -> Iterator[AudioFrame]:
    """Give a quiet tone in blocks."""
    for begin in range(0, round(seconds * _SOUND_RATE), _BLOCK):
        phase = np.arange(begin, begin + _BLOCK) * (2 * np.pi * _TONE_HZ / _SOUND_RATE)
        samples = (_LOUDNESS * np.sin(phase)).astype(np.float32)
        frame = AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = _SOUND_RATE, begin
        frame.time_base = Fraction(1, _SOUND_RATE)
        yield frame
