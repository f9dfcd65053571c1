"""Frames a second of the video pipeline beside those of its stages alone.

``python -m benchmarks.throughput`` makes clips with 1, 5 and 20 people (one person, cut out of a
photograph, many times over), runs what `rtpose video` runs on them with the detector on every
frame and on every fifth, times every stage alone on the same frames, and writes
``benchmarks/results/throughput.json`` and ``.md``.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from benchmarks.record import Record, here_and_now, keep, made_on, results_stem
from rtpose.commands.options import Settings
from rtpose.commands.setup import Setup, set_up
from rtpose.media.sinks import VideoWriter
from rtpose.media.sources import VideoFile
from rtpose.media.video_info import VideoInfo
from rtpose.photographs import read_photograph
from rtpose.pose import FrameResult, Image
from rtpose.stream import STAGE_THREADS, every_frame

_PERSON = (50, 395, 245, 910)
"""Box of a whole person in bus.jpg, which the wheel of ultralytics carries."""

_SIZES = {1: (640, 480), 5: (1280, 720), 20: (1280, 720)}
"""People to the size of the picture they are in."""

_SWAY = 0.02
"""How far people move to and fro, in parts of the picture's width."""


def write_crowd(path: Path, people: int, frames: int) -> None:
    """Write a clip of so many people in rows who sway."""
    width, height = _SIZES[people]
    x0, y0, x1, y1 = _PERSON
    person = read_photograph("bus.jpg")[y0:y1, x0:x1]
    rows = max(1, round(np.sqrt(people * height / width / 2)))
    columns = -(-people // rows)
    scale = 0.85 * min(width / columns / person.shape[1], height / rows / person.shape[0])
    person = np.asarray(cv2.resize(person, None, fx=scale, fy=scale), np.uint8)
    info = VideoInfo(width=width, height=height, rate=Fraction(30), time_base=Fraction(1, 30))
    with VideoWriter(path, info, overwrite=True) as writer:
        for index in range(frames):
            image: Image = np.full((height, width, 3), 128, np.uint8)
            sway = round(_SWAY * width / columns * np.sin(index / 10))
            for number in range(people):
                row, column = divmod(number, columns)
                x = round((column + 0.5) * width / columns) - person.shape[1] // 2 + sway
                y = round((row + 0.5) * height / rows) - person.shape[0] // 2
                image[y : y + person.shape[0], x : x + person.shape[1]] = person
            writer.write(image, index / 30)


@dataclass(frozen=True)
class Whole:
    """What it took to run all stages side by side; `cpu_s` is summed over the cores."""

    frames: int
    wall_s: float
    cpu_s: float
    people: float

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.wall_s


def run_whole(clip: Path, setup: Setup, out: Path | None) -> Whole:
    """All stages side by side, as in `rtpose video`. Without `out` nothing is encoded."""
    count = people = 0
    follower = setup.new_follower()
    with VideoFile(clip) as file:
        began, began_cpu = time.perf_counter(), time.process_time()
        writer = VideoWriter(out, file.info, overwrite=True) if out else nullcontext()
        with writer as sink, closing(every_frame(file, follower.look, follower.place)) as results:
            for result in results:
                _draw_and_write(setup, sink, result)
                count += 1
                people += len(result.poses)
        # the encoder has its last frames only when the file is closed
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    return Whole(count, wall_s, cpu_s, people / count)


def time_stages(clip: Path, setup: Setup, out: Path) -> dict[str, float]:
    """Seconds that each stage takes for all frames while no other runs."""
    follower = setup.new_follower()
    with VideoFile(clip) as file:
        marks = [time.perf_counter()]
        frames = list(file)
        marks.append(time.perf_counter())
        looks = [follower.look(frame) for frame in frames]
        marks.append(time.perf_counter())
        results = [follower.place(look) for look in looks]
        marks.append(time.perf_counter())
        with VideoWriter(out, file.info, overwrite=True) as writer:
            for result in results:
                _draw_and_write(setup, writer, result)
        marks.append(time.perf_counter())
    return dict(zip(("read", "detect", "pose", "draw and encode"), np.diff(marks), strict=True))


def _draw_and_write(setup: Setup, writer: VideoWriter | None, result: FrameResult) -> None:
    setup.draw(result)
    if writer is not None:
        writer.write(result.frame.image, result.frame.time_s)


def measure(setup: Setup, people: int, frames: int, rounds: int) -> Record:
    """One clip, one setting; medians over rounds in which all take turns."""
    wholes, silents, stages = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        clip, out = Path(folder) / "clip.mp4", Path(folder) / "out.mp4"
        write_crowd(clip, people, frames)
        setup.warm_up(_SIZES[people])
        for _ in range(rounds):
            wholes.append(run_whole(clip, setup, out))
            silents.append(run_whole(clip, setup, None).fps)
            stages.append({k: frames / s for k, s in time_stages(clip, setup, out).items()})
    alone = {k: float(np.median([s[k] for s in stages])) for k in stages[0]}
    whole = float(np.median([w.fps for w in wholes]))
    slowest = min(alone, key=lambda k: alone[k])
    return {
        "people": people,
        "people_found": round(wholes[-1].people, 1),
        "size": "{}x{}".format(*_SIZES[people]),
        "detect_every": setup.settings.detect_every,
        "frames": frames,
        "fps": round(whole, 1),
        "fps_all": [round(w.fps, 1) for w in wholes],
        "cpu_ms": round(float(np.median([1e3 * w.cpu_s / w.frames for w in wholes])), 1),
        "cores_busy": round(float(np.median([w.cpu_s / w.wall_s for w in wholes])), 2),
        "fps_without_writing": round(float(np.median(silents)), 1),
        "fps_one_thread": round(1 / sum(1 / v for v in alone.values()), 1),
        "stages_fps": {k: round(v, 1) for k, v in alone.items()},
        "slowest": slowest,
        "over_slowest": round(whole / alone[slowest], 2),
    }


def main(
    frames: Annotated[int, typer.Option(help="Length of the clips.")] = 240,
    rounds: Annotated[int, typer.Option(help="Runs of each.")] = 3,
    model: Annotated[str, typer.Option(help="Pose network.")] = "nano",
) -> None:
    """Measure, print and record."""
    setup = set_up(Settings(model=model), STAGE_THREADS)
    rows = [
        measure(
            replace(setup, settings=replace(setup.settings, detect_every=every)),
            people, frames, rounds,
        ) for people in _SIZES for every in (1, 5)
    ]  # fmt: skip
    device = setup.estimator.engine.device
    record = here_and_now(device) | {"model": model, "engine": setup.engine, "runs": rows}
    keep(results_stem("throughput", device), record, _markdown(record))


def _markdown(record: Record) -> str:
    rows = record["runs"]
    names = list(rows[0]["stages_fps"])
    return "\n".join(
        [
            "# Throughput of the video pipeline",
            "",
            f"Made by `python -m benchmarks.throughput --model {record['model']} "
            f"--frames {rows[0]['frames']}` on {made_on(record)}.",
            "",
            f"All figures are frames a second, {record['engine']}. On CPUs the detector runs on "
            "half of the cores as in `rtpose "
            "video`, the pose network too for one or two people, on all for more. Stages alone "
            "have the machine for themselves; where the slowest can use all cores, side by side "
            "they cannot reach its rate: what bounds the whole is the work of all stages "
            "together, and when all cores are busy nothing is left to gain by overlapping.",
            "",
            "| people (found) | size | detector every | whole | CPU ms a frame | cores busy | "
            "without writing | one thread | "
            + " | ".join(f"{name} alone" for name in names)
            + " | whole / slowest |",
            "|---" * (9 + len(names)) + "|",
            *(
                f"| {r['people']} ({r['people_found']}) | {r['size']} | {r['detect_every']} | "
                f"{r['fps']} | {r['cpu_ms']} | {r['cores_busy']} | "
                f"{r['fps_without_writing']} | {r['fps_one_thread']} | "
                + " | ".join(str(v) for v in r["stages_fps"].values())
                + f" | {r['over_slowest']} ({r['slowest']}) |"
                for r in rows
            ),
            "",
        ]
    )


if __name__ == "__main__":
    typer.run(main)
