"""Where pictures go: a video file like the one that came in."""

from __future__ import annotations

import contextlib
import errno
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from rtpose.errors import RtposeError
from rtpose.media.audio import AudioCopy
from rtpose.media.video_info import Colour, VideoInfo
from rtpose.pose import Image
from rtpose.targets import check_target, partial_path, settle

VIDEO_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""File suffix to FFmpeg's name of the format."""

ENCODER_OPTIONS = {"preset": "veryfast", "crf": "23"}
"""libx264's settings, measured on two cores with 720x1280 and 1920x1080 clips: veryfast takes
20 ms of CPU a frame at 720x1280 where superfast takes 15 and medium 42. At crf 23 its files are
as large as those that came in, superfast's are twice that, medium's are no smaller and 0.4 to
0.8 dB nearer to the source."""

_FINEST_CLOCK = 1_000_000
"""Most ticks a second that a written clock may have."""

_KEY_S = 2.0
"""Seconds between the key frames of a crash-safe file, at which what was written can be played.
x264 itself puts one in 250 frames."""

_CODABLE_MATRICES = {1, 4, 5, 6, 7, 9}
"""Colour matrices of ITU-T H.273 that swscale converts to, with their own number as its name."""

_BT709 = Colour(1, 1, 1)


def check_video_target(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Refuse a name that no video can or must be written to.

    Raises
    ------
    RtposeError
        If its suffix is none of `VIDEO_FORMATS`, or see `rtpose.targets.check_target`.
    """
    if path.suffix.lower() not in VIDEO_FORMATS:
        raise RtposeError(f"{path}: the name of a video must end in {', '.join(VIDEO_FORMATS)}")
    check_target(path, overwrite, source)


class VideoWriter:
    """An H.264 video of the same size, upright, with the source's times, colours and sound.

    Written as yuv420p with limited range. The clock, the times of all frames and so a variable
    rate are the source's; times within one of its ticks of the nominal rate's grid are put on
    the grid, so that 30000/1001 stays exactly that where the source's clock is too coarse for it
    (milliseconds in .mkv). The colour matrix is the source's too: the same numbers are decoded
    and encoded with the same matrix, tagged or not.

    H.264 in yuv420p has even sizes only: an odd width or height is padded by one column at the
    right or one row at the bottom, a copy of the last one.

    What is written stands under a hidden name in the same folder and gets the final name when
    all is complete; if another has got that name meanwhile, one with a number. Leaving the
    ``with`` block normally finishes the file, Ctrl-C finishes it with what is there, any other
    exception removes it, or keeps what there is if it is crash-safe. A file without frames is
    never made. A program that catches Ctrl-C itself calls ``close(interrupted=True)`` between two
    frames.

    Parameters
    ----------
    path : str or Path
        Name of the result; its suffix, .mp4, .mov or .mkv, chooses the format.
    info : VideoInfo
        Size, clock and colours, from the source.
    source : str, Path or None
        The file whose audio streams are copied, packet by packet; None for silence.
    overwrite : bool
        Replace an existing file.
    crash_safe : bool
        For what does not come twice: all but the last seconds and the pictures still in the
        encoder play though the file was never finished, and where the disk is full or a signal
        breaks in, it is kept under the final name. Else players on the network may begin before
        they have the whole file, which costs a copy of it at the end.

    Attributes
    ----------
    path : Path
        Where the result is.
    frames : int
        Frames written.
    audio_skipped : tuple of str
        One line for each audio stream that the format cannot hold.

    Raises
    ------
    RtposeError
        If the suffix is another, the folder is missing or not writable, the file exists and may
        not be overwritten, or it is the source itself.
    """

    def __init__(
        self,
        path: str | Path,
        info: VideoInfo,
        source: str | Path | None = None,
        *,
        overwrite: bool = False,
        crash_safe: bool = False,
    ) -> None:
        self.path = Path(path)
        self.frames = 0
        self._overwrite = overwrite
        self._crash_safe = crash_safe
        self._key_s = -math.inf  # of the last key frame that was asked for
        self._info = info
        self._colour, self._clock = _written_colour(info.colour), _clock(info)
        self._start = round(info.start_s / self._clock)
        self._last = -1
        self._audio: AudioCopy | None = None
        self._reformatter = VideoReformatter()
        check_video_target(self.path, overwrite, Path(source) if source else None)
        self._partial = partial_path(self.path)
        self._open = True
        format_name = VIDEO_FORMATS[self.path.suffix.lower()]
        layout = "+hybrid_fragmented+delay_moov" if crash_safe else "+faststart"
        flags = {} if format_name == "matroska" else {"movflags": layout}
        try:
            self._output = av.open(
                f"file:{self._partial}", "w", format=format_name, container_options=flags
            )
            self._video = self._output.add_stream(
                "libx264", rate=info.rate, options=dict(ENCODER_OPTIONS)
            )
            coder = self._video.codec_context
            coder.width, coder.height = info.width + info.width % 2, info.height + info.height % 2
            coder.pix_fmt = "yuv420p"
            coder.time_base = self._clock
            coder.color_range = ColorRange.MPEG
            coder.colorspace = self._colour.matrix
            coder.color_primaries = self._colour.primaries
            coder.color_trc = self._colour.transfer
            if source is not None and info.has_audio:
                self._audio = AudioCopy(Path(source), self._output, format_name, info.origin_s)
            self._output.start_encoding()
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise RtposeError(
                f"{self.path} cannot be written ({error.strerror}); choose another folder"
            ) from error
        except BaseException:
            self.abort()
            raise

    @property
    def audio_skipped(self) -> tuple[str, ...]:
        """What was left out of the sound, a line a stream."""
        return self._audio.skipped if self._audio else ()

    def write(self, image: Image, time_s: float) -> None:
        """Add the next frame.

        Parameters
        ----------
        image : (H, W, 3) uint8, BGR
            Of the size in ``info``.
        time_s : float
            Seconds after the first frame; a time not after the last frame's is moved a tick
            beyond it.

        Raises
        ------
        RtposeError
            If the file can no longer be written: a full disk.
        ValueError
            If the size is another.
        """
        info = self._info
        if image.shape != (info.height, info.width, 3):
            raise ValueError(f"frame is {image.shape}, file is {(info.height, info.width, 3)}")
        if info.width % 2 or info.height % 2:
            edge = cv2.BORDER_REPLICATE
            padded = cv2.copyMakeBorder(image, 0, info.height % 2, 0, info.width % 2, edge)
            image = np.asarray(padded, dtype=np.uint8)
        picture = self._reformatter.reformat(
            VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="bgr24"),
            format="yuv420p",
            dst_colorspace=self._colour.matrix,
            dst_color_range=ColorRange.MPEG,
        )
        picture.color_primaries = self._colour.primaries
        picture.color_trc = self._colour.transfer
        if self._crash_safe and time_s - self._key_s >= _KEY_S:
            picture.pict_type = PictureType.I
            self._key_s = time_s
        self._last = max(self._start + self._ticks(time_s), self._last + 1)
        picture.pts, picture.time_base = self._last, self._clock
        self._encode(picture)
        self.frames += 1

    def close(self, end_s: float | None = None, *, interrupted: bool = False) -> None:
        """Finish the file and give it its name; nothing if it is closed already.

        Parameters
        ----------
        end_s : float, optional
            Until when the last picture is shown; by default as long as the nominal rate has it.
        interrupted : bool
            The source was not read to its end: the sound ends with the last picture.

        Raises
        ------
        RtposeError
            If the file cannot be written to its end.
        """
        if not self._open:
            return
        if not self.frames:
            self.abort()
            return
        try:
            self._encode(None, end_s)
            if self._audio:
                last_s = (self._last + 1 / (self._info.rate * self._clock)) * self._clock
                with self._failing_as_rtpose_error():
                    self._audio.copy_until(last_s if interrupted else None)
                self._audio.close()
            with self._failing_as_rtpose_error():
                self._output.close()
                self.path = settle(self._partial, self.path, self._overwrite)
        except BaseException as error:
            self._give_up(error)
            raise
        self._open = False

    def abort(self) -> None:
        """Remove what was written; nothing if the file is closed already."""
        if self._open:
            self._release()
            self._partial.unlink(missing_ok=True)

    def keep(self) -> None:
        """Give what reached the disk its name, unfinished; nothing if it is closed already.

        Only a crash-safe file can be played then.
        """
        if self._open:
            with contextlib.suppress(RtposeError):  # pictures the encoder still holds, if it can
                self._encode(None)
            self._release()
            if self._partial.exists():
                self.path = settle(self._partial, self.path, self._overwrite)

    def break_off(self, error: RtposeError) -> RtposeError:
        """Keep what there is, and say so with what went wrong."""
        self.keep()
        if not self.path.exists():
            return error
        return RtposeError(f"{error} {self.path} holds what was written before")

    def _release(self) -> None:
        self._open = False
        if self._audio:
            self._audio.close()
        if hasattr(self, "_output"):
            # What the muxer has to say about a file that is not finished is of no use.
            with contextlib.suppress(av.FFmpegError):
                self._output.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close(interrupted=kind is not None)
        else:
            self._give_up(error)

    def _give_up(self, error: BaseException | None) -> None:
        """Remove what was written; if it is crash-safe, keep it, and say so in `RtposeError`s."""
        if not self._crash_safe:
            self.abort()
        elif isinstance(error, RtposeError):
            raise self.break_off(error) from error
        else:
            self.keep()

    def _ticks(self, time_s: float) -> int:
        """Turn seconds into ticks of the written clock."""
        rate = self._info.rate
        nearest = round(time_s * rate) / rate
        # One tick of the source's clock: what rounding at both ends of an interval can amount to.
        if abs(time_s - nearest) <= self._info.time_base * Fraction(1001, 1000):
            return round(nearest / self._clock)
        return round(time_s / self._clock)

    def _encode(self, picture: VideoFrame | None, end_s: float | None = None) -> None:
        with self._failing_as_rtpose_error():
            for packet in self._video.encode(picture):
                if end_s is not None and packet.pts == self._last:
                    packet.duration = max(1, self._start + self._ticks(end_s) - self._last)
                if self._audio and packet.dts is not None:
                    self._audio.copy_until(packet.dts * packet.time_base)
                self._output.mux_one(packet)

    @contextlib.contextmanager
    def _failing_as_rtpose_error(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            cure = (
                "another format, such as .mkv, may take what this source holds"
                if error.errno == errno.EINVAL or isinstance(error, av.error.PatchWelcomeError)
                else "is the disk full?"
            )
            raise RtposeError(
                f"{self.path} cannot be written further ({error.strerror}); {cure}"
            ) from error


def _written_colour(colour: Colour) -> Colour:
    """Choose the tags of the result: the source's, where yuv420p can have them.

    An untagged source stays untagged: its pictures were decoded with swscale's own default
    matrix and are encoded with the same one. Sources that are no YUV (screen recordings in RGB)
    become BT.709.
    """
    if colour.matrix in _CODABLE_MATRICES or colour.matrix == Colour().matrix:
        return colour
    return _BT709


def _clock(info: VideoInfo) -> Fraction:
    """Find a clock on which the source's times and the nominal rate's grid are whole ticks."""
    ticks_per_s = math.lcm(info.time_base.denominator, info.rate.numerator)
    if ticks_per_s <= _FINEST_CLOCK:
        return Fraction(1, ticks_per_s)
    # .mp4 counts 32 bits of ticks from one picture to the next: of nanoseconds two seconds
    return max(info.time_base, Fraction(1, _FINEST_CLOCK))
