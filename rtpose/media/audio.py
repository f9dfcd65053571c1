"""Sound carried from one file to another, packet by packet, without re-encoding."""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from rtpose.errors import RtposeError
from rtpose.media.sources import JUMP_S, longest_step_s

_SILENCE = 960
"""Bytes: whole samples of 1, 2, 3 or 4 bytes for any usual number of channels."""


class AudioCopy:
    """The audio streams of a file on their way into another, in step with its pictures.

    The file is opened a second time and read only as far as the pictures have come, so memory
    does not grow with its length.

    Parameters
    ----------
    source : Path
        The file that the sound comes from.
    output : OutputContainer
        Where it goes; its header must not be written yet.
    format_name : str
        FFmpeg's name of the output's format: mp4, mov, matroska.
    origin_s : Fraction
        Time in the source that is 0 in the output, in seconds.

    Attributes
    ----------
    skipped : tuple of str
        One line for each audio stream that the output cannot hold, or not all of; so far.

    Raises
    ------
    RtposeError
        If the source can no longer be opened.
    """

    def __init__(
        self, source: Path, output: OutputContainer, format_name: str, origin_s: Fraction
    ) -> None:
        try:
            self._input = av.open(f"file:{source}", "r")
        except av.FFmpegError as error:
            raise RtposeError(f"{source}: its sound cannot be read ({error.strerror})") from error
        self._output = output
        self._origin_s = origin_s
        self._pairs: dict[int, AudioStream] = {}
        self._last: dict[int, int] = {}
        self._out_of_time: Counter[int] = Counter()
        self._ended: set[int] = set()
        skipped: list[str] = []
        kept: list[AudioStream] = []
        for stream in self._input.streams.audio:
            reason = _why_not(stream, format_name)
            if reason:
                skipped.append(f"audio stream {stream.index} left out: {reason}")
                continue
            kept.append(stream)
            self._pairs[stream.index] = _add(stream, output)
        self._not_kept = tuple(skipped)
        self._packets = self._readable(kept)
        self._next = next(self._packets, None)

    @property
    def skipped(self) -> tuple[str, ...]:
        """What the output does not hold, a line a stream."""
        return (
            *self._not_kept,
            *(
                f"{count} packets of audio stream {index} left out: their times do not fit"
                for index, count in self._out_of_time.items()
            ),
            *(
                f"audio stream {index} left out from where its times begin anew, as in files "
                "joined of several"
                for index in sorted(self._ended)
            ),
        )

    def copy_until(self, time_s: Fraction | None) -> None:
        """Write every packet that begins before a time of the output; all that are left for None.

        Raises
        ------
        av.FFmpegError
            If the output cannot be written.
        """
        while self._next is not None:
            packet = self._next
            if time_s is not None and _begin(packet) - self._origin_s >= time_s:
                return
            # Taken before it is written: a Ctrl-C in between must not write it twice.
            self._next = next(self._packets, None)
            index = packet.stream.index
            if index in self._ended:
                continue
            if packet.dts is not None:
                last = self._last.get(index, packet.dts - 1)
                if packet.dts < last - JUMP_S / packet.time_base:
                    # pictures go on from the one before, and we know of no moment in both
                    self._ended.add(index)
                    continue
                # damaged files have these, and no format that we write may
                if packet.dts <= last:
                    self._out_of_time[index] += 1
                    continue
                self._last[index] = packet.dts
            shift = round(self._origin_s / packet.time_base)
            if packet.pts is not None:
                packet.pts -= shift
            if packet.dts is not None:
                packet.dts -= shift
            packet.stream = self._pairs[index]
            self._output.mux_one(packet)

    def close(self) -> None:
        """Release the source."""
        self._input.close()

    def _readable(self, streams: list[AudioStream]) -> Iterator[Packet[AudioStream]]:
        """Give packets up to the end, or to where the source breaks off: its reader says so.

        Not those after a clock that jumped on: pictures go on from the one before. It is read off
        the pictures too, for sound may pause for as long as it likes.
        """
        if not streams:
            return
        longest_s, clock_s = longest_step_s(self._input), math.inf
        read: tuple[Stream, ...] = tuple(streams)
        if longest_s < math.inf:
            read += self._input.streams.video
        packets: Iterator[Packet[Any]] = self._input.demux(read)
        try:
            for packet in packets:
                if not packet.size:  # demux ends each stream with an empty packet
                    continue
                begin_s = float(_begin(packet))
                jumped = begin_s - clock_s > longest_s
                if not jumped:
                    clock_s = begin_s
                if packet.stream.index not in self._pairs:
                    continue
                if jumped:
                    self._out_of_time[packet.stream.index] += 1
                else:
                    yield packet
        except av.FFmpegError:
            return


def _begin(packet: Packet[Any]) -> Fraction:
    ticks = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if ticks is None else ticks * packet.time_base


def _add(stream: AudioStream, output: OutputContainer) -> AudioStream:
    copy = output.add_stream_from_template(stream)
    if copy.layout.name == "2 channels":
        # .mkv and .avi do not say which two; to say it is all that .mp4 asks of PCM
        copy.codec_context.layout = "stereo"
    if stream.language:
        copy.metadata["language"] = stream.language
    return copy


def _why_not(stream: AudioStream, format_name: str) -> str:
    """Say why a format cannot hold a stream, found by trying; empty if it can."""
    name = stream.codec_context.name if stream.codec_context else "unknown codec"
    trial = av.open(io.BytesIO(), "w", format=format_name)
    try:
        copy = _add(stream, trial)
        trial.start_encoding()
        if name.startswith("pcm_"):
            # .mp4 looks at the channels of PCM only when it ends, and only if there was sound
            silence = Packet(bytes(_SILENCE))
            silence.stream = copy
            silence.pts = silence.dts = 0
            trial.mux_one(silence)
        trial.close()
    except (ValueError, av.FFmpegError) as error:
        return f"{format_name} cannot hold {name} ({error})"
    finally:
        with contextlib.suppress(av.FFmpegError):
            trial.close()
    return ""
