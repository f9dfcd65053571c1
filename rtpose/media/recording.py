"""Live pictures kept: a video that is begun and finished at any time, single pictures."""

from __future__ import annotations

import logging
import time
from fractions import Fraction
from pathlib import Path

from rtpose.errors import RtposeError
from rtpose.media.fitted import fitted
from rtpose.media.sinks import VideoWriter, check_video_target
from rtpose.media.video_info import VideoInfo
from rtpose.pictures import write_picture
from rtpose.pose import Frame, FrameResult, Image
from rtpose.targets import unused

log = logging.getLogger(__name__)

_CLOCK = Fraction(1, 90_000)
"""MPEG's clock, fine enough for frames that come when they come."""

_LONGEST_S = 4 * 3600.0
"""After it a recording goes on in a new file. FFmpeg's writer of .mp4 keeps 72 bytes a frame in
memory until the file is finished, 31 MB by then at 30 frames a second, and takes no pause longer
than 6.6 hours in one file."""


class Recorder:
    """Writes videos of what is shown, each frame at the time it was captured.

    Those that are complete are said on the log. Where a recording cannot go on, as on a full disk,
    it ends, and what there is of it is kept. One of more than four hours goes on in the next file.

    Parameters
    ----------
    path : Path, optional
        Where the first recording goes; later ones get a number: out-2.mp4. None is a name made
        of the time, in the current folder.
    rate : float, optional
        Frames a second that the camera promises: only a hint for players.
    overwrite : bool
        Replace an existing file with the first recording.
    source : Path, optional
        The file that is shown, where it is one: never overwritten.

    Attributes
    ----------
    wanted : bool
        Whether recording is on.

    Raises
    ------
    RtposeError
        If the path cannot or must not be written to.
    """

    def __init__(
        self,
        path: Path | None = None,
        rate: float | None = None,
        *,
        overwrite: bool = False,
        source: Path | None = None,
    ) -> None:
        if path is not None:
            check_video_target(path, overwrite, source)
        self._begun = 0
        self._path = path
        self._overwrite = overwrite
        self._rate = Fraction(min(max(rate or 25.0, 1.0), 240.0)).limit_denominator(1001)
        self.wanted = False
        self._writer: VideoWriter | None = None
        self._began_s = 0.0
        self._size = 0, 0

    def start(self) -> None:
        """Record from the next picture on."""
        self.wanted = True

    def write(self, result: FrameResult) -> None:
        """Add a picture if recording is on.

        A picture of another size than the recording's first, as after a camera came back, is
        fitted into that.

        Raises
        ------
        RtposeError
            If the file cannot be begun or written further; recording is off then.
        """
        if not self.wanted:
            return
        frame = result.frame
        try:
            if self._writer is not None and frame.time_s - self._began_s > _LONGEST_S:
                self._finish(self._writer)
            if self._writer is None:
                self._writer = self._begin(frame)
            self._writer.write(fitted(frame.image, self._size), frame.time_s - self._began_s)
        except RtposeError as error:
            self.wanted = False
            writer, self._writer = self._writer, None
            if writer is None:
                raise
            raise writer.break_off(error) from error

    def stop(self) -> None:
        """Finish the recording; nothing if there is none.

        Raises
        ------
        RtposeError
            If the file cannot be written to its end; what there is of it is kept.
        """
        self.wanted = False
        if self._writer is not None:
            self._finish(self._writer)

    def _finish(self, writer: VideoWriter) -> None:
        self._writer = None
        writer.close()
        log.warning("recorded %s", writer.path)

    def _begin(self, frame: Frame) -> VideoWriter:
        height, width = frame.image.shape[:2]
        info = VideoInfo(width=width, height=height, rate=self._rate, time_base=_CLOCK)
        overwrite = self._overwrite and not self._begun
        path = self._next_path()
        self._begun += 1
        self._began_s = frame.time_s
        self._size = width, height
        return VideoWriter(path, info, overwrite=overwrite, crash_safe=True)

    def _next_path(self) -> Path:
        if self._path is None:
            return unused(Path(f"rtpose-{time.strftime('%Y%m%d-%H%M%S')}.mp4"))
        if not self._begun:
            return self._path
        return unused(self._path.with_stem(f"{self._path.stem}-{self._begun + 1}"))


def save_snapshot(image: Image) -> Path:
    """Write a picture as PNG into the current folder, under a name made of the time.

    Raises
    ------
    RtposeError
        If the folder cannot be written to.
    """
    path = unused(Path(f"rtpose-{time.strftime('%Y%m%d-%H%M%S')}.png"))
    write_picture(path, image)
    return path
