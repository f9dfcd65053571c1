"""Where a frame's time goes, and how many frames a second come out.

Everything is measured in rounds that take turns, so that a busy moment of the machine hits all
figures alike; a figure is the median of its rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rtpose.bench.crowd import cut_people, tile
from rtpose.bench.machine import gpu_used_mb, peak_host_mb
from rtpose.bench.measured import Measured, Percentiles, measured
from rtpose.claims import settle_poses
from rtpose.clothes import colours_at_joints
from rtpose.draw import draw_poses
from rtpose.estimator import Estimator
from rtpose.follow import new_follower
from rtpose.geometry import crop_squares
from rtpose.media.sinks import VideoWriter
from rtpose.media.sources import VideoFile
from rtpose.on_device import Picture, own_stream
from rtpose.pose import Detections, FloatArray, Frame, FrameResult, Image, poses_of
from rtpose.smoothing import Smoother
from rtpose.stream import every_frame
from rtpose.tracker import Tracker

STAGES = ("read", "detect", "crop", "pose", "decode", "track", "draw", "encode")
"""The steps of a frame's journey, in order."""

_LATENCY = STAGES[1:6]
"""What lies between a picture and its poses."""

CROWDS = (1, 5, 20)
"""People in the pictures of `Speed.crowds`."""

_WARM_UP_FRAMES = 10

Follow = Callable[[Iterable[Frame], Estimator], Generator[FrameResult, None, None]]
"""A way to get from frames to people, as the commands do it."""


def _follow(
    frames: Iterable[Frame], estimator: Estimator, detect_every: int
) -> Generator[FrameResult, None, None]:
    follower = new_follower(estimator, detect_every)
    return every_frame(frames, follower.look, follower.place)


WAYS: dict[str, Follow] = {
    "detector every frame": partial(_follow, detect_every=1),
    "detector every 5th, as live": partial(_follow, detect_every=5),
}
"""The ways that are compared, by the name they are shown under."""


@dataclass(frozen=True)
class Crowd:
    """Speed with a number of people in the picture.

    Attributes
    ----------
    people : int
        In the picture; all of them are posed.
    found : int
        How many of them the detector finds by itself.
    fps : dict of str to Measured
        One for each of `WAYS`, without drawing and writing.
    """

    people: int
    found: int
    fps: dict[str, Measured]


@dataclass(frozen=True)
class Speed:
    """What `measure_speed` found.

    Attributes
    ----------
    frames : int
        Of the clip.
    people : float
        People in a frame of the clip, on average.
    stages : dict of str to Percentiles
        Milliseconds of each stage by itself.
    latency : Percentiles
        Milliseconds from a picture to its poses, when nothing waits in a queue.
    fps : dict of str to Measured
        Of the whole clip, the stages overlapping.
    crowds : tuple of Crowd
    host_mb, gpu_mb : float or None
        Most memory of this process, and what the GPU holds more than before loading; None where
        the system does not say, or there is no GPU.
    """

    frames: int
    people: float
    stages: dict[str, Percentiles]
    latency: Percentiles
    fps: dict[str, Measured]
    crowds: tuple[Crowd, ...]
    host_mb: float | None
    gpu_mb: float | None


class Clock(Protocol):
    """Takes times between steps, on the CPU or on the GPU's own time line."""

    def mark(self) -> Any:
        """A moment."""

    def read(self, marks: Sequence[Any]) -> list[float]:
        """Milliseconds between one mark and the next."""


class CpuClock:
    """Wall time."""

    def mark(self) -> float:
        """A moment, in seconds."""
        return time.perf_counter()

    def read(self, marks: Sequence[float]) -> list[float]:
        """See `Clock`."""
        return [1e3 * (b - a) for a, b in pairwise(marks)]


class CudaClock:
    """CUDA events: a step's time is when the GPU is through with it, not when it was asked."""

    def mark(self) -> torch.cuda.Event:
        """An event in the current stream."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def read(self, marks: Sequence[torch.cuda.Event]) -> list[float]:
        """See `Clock`; waits for the last of them."""
        marks[-1].synchronize()
        return [a.elapsed_time(b) for a, b in pairwise(marks)]


def measure_speed(
    estimator: Estimator,
    clip: Path,
    crowd_clip: Path,
    folder: Path,
    repeats: int,
    tell: Callable[[str], None] = lambda line: None,
    gpu_before_mb: float | None = None,
) -> Speed:
    """Measure all of `Speed`.

    Parameters
    ----------
    estimator : Estimator
        Warmed up.
    clip : Path
        What the stages and the whole are measured on.
    crowd_clip : Path
        Where the people of the crowds are cut out: `rtpose.media.sample.write_sample`'s.
    folder : Path
        For videos that are written and thrown away.
    repeats : int
        Rounds, at least 2.
    tell : callable
        Told what is being done, for a progress line.
    gpu_before_mb : float, optional
        `gpu_used_mb` before the networks were loaded.

    Raises
    ------
    RtposeError
        If a clip cannot be read, or the detector finds nobody to make a crowd of.
    """
    device = estimator.engine.device
    clock: Clock = CudaClock() if device.startswith("cuda") else CpuClock()
    crowds = _crowds(estimator, crowd_clip)
    sink = folder / "out.mp4"

    tell("warming up")
    time_stages(estimator, clip, sink, clock, _WARM_UP_FRAMES)
    for _, _, picture, crowd in crowds:
        time_crowd(crowd, picture, WAYS["detector every frame"], 2)

    stage_ms: list[NDArray[np.float64]] = []
    fps: dict[str, list[float]] = {}
    crowd_fps: list[dict[str, list[float]]] = [{} for _ in crowds]
    people = 0.0
    for i in range(repeats):
        tell(f"round {i + 1} of {repeats}: stages")
        milliseconds, people = time_stages(estimator, clip, sink, clock)
        stage_ms.append(milliseconds)
        for name, follow in WAYS.items():
            tell(f"round {i + 1} of {repeats}: {name}")
            fps.setdefault(name, []).append(time_clip(estimator, clip, follow, None))
            fps.setdefault(f"{name}, drawn and written", []).append(
                time_clip(estimator, clip, follow, sink)
            )
            for (count, _, picture, crowd), found in zip(crowds, crowd_fps, strict=True):
                tell(f"round {i + 1} of {repeats}: {name}, {count} people")
                frames = 10 + 20 // count  # crowds take long
                found.setdefault(name, []).append(time_crowd(crowd, picture, follow, frames))

    latencies = [ms[:, [STAGES.index(s) for s in _LATENCY]].sum(1) for ms in stage_ms]
    gpu_mb = gpu_used_mb(device)
    return Speed(
        frames=len(stage_ms[0]),
        people=people,
        stages={
            stage: _percentiles([ms[:, k] for ms in stage_ms]) for k, stage in enumerate(STAGES)
        },
        latency=_percentiles(latencies),
        fps={name: measured(values, "fps") for name, values in fps.items()},
        crowds=tuple(
            Crowd(count, found, {name: measured(v, "fps") for name, v in values.items()})
            for (count, found, _, _), values in zip(crowds, crowd_fps, strict=True)
        ),
        host_mb=peak_host_mb(),
        gpu_mb=None if gpu_mb is None else gpu_mb - (gpu_before_mb or 0.0),
    )


def time_stages(
    estimator: Estimator, clip: Path, out: Path, clock: Clock, limit: int | None = None
) -> tuple[NDArray[np.float64], float]:
    """One frame after the other through every stage, nothing overlapping.

    Parameters
    ----------
    estimator : Estimator
    clip, out : Path
        Read from, written to.
    clock : Clock
    limit : int, optional
        Most frames; None is all.

    Returns
    -------
    (F, 8) float64
        Milliseconds by frame and stage, see `STAGES`.
    float
        People in a frame, on average.
    """
    rows: list[list[float]] = []
    people, tracker, smoother = 0, Tracker(), Smoother()
    with (
        VideoFile(clip) as file,
        VideoWriter(out, file.info, overwrite=True) as writer,
        # as in the threads of stages: TensorRT waits for more on the default stream
        own_stream(estimator.engine.device),
    ):
        frames = iter(file)
        while limit is None or len(rows) < limit:
            marks = [clock.mark()]
            frame = next(frames, None)
            if frame is None:
                break
            marks.append(clock.mark())
            picture = estimator.upload(frame.image)
            boxes, scores = estimator.detector(picture)
            marks.append(clock.mark())
            joints, between = _place_joints(estimator, picture, boxes, clock)
            marks += between
            poses = poses_of((boxes, scores), joints)
            poses = tracker.update(poses, frame.time_s, colours_at_joints(frame.image, poses))
            poses = smoother.update(settle_poses(poses), frame.time_s)
            marks.append(clock.mark())
            draw_poses(frame.image, poses, estimator.skeleton, predicted=estimator.skeleton)
            marks.append(clock.mark())
            writer.write(frame.image, frame.time_s)
            marks.append(clock.mark())
            rows.append(clock.read(marks))
            people += len(poses)
    return np.array(rows), people / len(rows)


def _place_joints(
    estimator: Estimator, picture: Picture, boxes: FloatArray, clock: Clock
) -> tuple[FloatArray, list[Any]]:
    """`Estimator.place_joints` with a mark after each of its steps."""
    squares = crop_squares(boxes)
    if not len(squares):
        return estimator.place_joints(picture, boxes), [clock.mark() for _ in range(3)]
    crops = estimator.cut(picture, squares)
    cut = clock.mark()
    heatmaps = estimator.predict(crops)
    predicted = clock.mark()
    joints = estimator.read(heatmaps, squares)
    return joints, [cut, predicted, clock.mark()]


def time_clip(estimator: Estimator, clip: Path, follow: Follow, out: Path | None) -> float:
    """Frames a second of a whole clip, as `rtpose video` does it, from opening it to the end.

    Parameters
    ----------
    estimator : Estimator
    clip : Path
    follow : callable
        One of `WAYS`.
    out : Path, optional
        Draw and write a video there; None stops at the poses.
    """
    count = 0
    began = time.perf_counter()
    with (
        VideoFile(clip) as file,
        VideoWriter(out, file.info, overwrite=True) if out else nullcontext() as writer,
        closing(follow(file, estimator)) as results,
    ):
        for result in results:
            count += 1
            if writer:
                image = result.frame.image
                skeleton = estimator.skeleton
                draw_poses(image, result.poses, skeleton, predicted=skeleton)
                writer.write(image, result.frame.time_s)
    return count / (time.perf_counter() - began)


def time_crowd(estimator: Estimator, picture: Image, follow: Follow, frames: int) -> float:
    """Frames a second on one picture over and over, without drawing and writing."""
    still = (Frame(picture, i, i / 30) for i in range(frames))
    began = time.perf_counter()
    count = sum(1 for _ in follow(still, estimator))
    return count / (time.perf_counter() - began)


def _crowds(estimator: Estimator, clip: Path) -> list[tuple[int, int, Image, Estimator]]:
    """Number of people, number found, picture, and an estimator that poses exactly them."""
    with VideoFile(clip) as file:
        images = [frame.image for frame in file]
    # the middle of each of the sample's two photographs
    people = cut_people(
        [images[len(images) // 4], images[3 * len(images) // 4]], estimator.detector
    )
    crowds = []
    for count in CROWDS:
        picture, boxes = tile(people, count)
        found = len(estimator.detector(picture)[0])
        crowds.append((count, found, picture, _with_known_boxes(estimator, boxes)))
    return crowds


def _with_known_boxes(estimator: Estimator, boxes: FloatArray) -> Estimator:
    """Takes the detector's time, but answers with given boxes: their number is what it is about."""

    def detector(image: Picture) -> Detections:
        estimator.detector(image)
        return boxes, np.ones(len(boxes), np.float32)

    return replace(estimator, detector=detector)


def _percentiles(rounds: Sequence[NDArray[np.float64]]) -> Percentiles:
    p50, p95 = ([float(np.percentile(ms, p)) for ms in rounds] for p in (50, 95))
    return Percentiles(measured(p50, "ms"), measured(p95, "ms"))
