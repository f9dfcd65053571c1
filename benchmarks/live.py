"""How old a live picture is when it is shown, whether it gets older, and what memory does.

``python -m benchmarks.live --minutes 10`` runs what `rtpose webcam` runs on a synthetic camera
(see `benchmarks.synthetic_camera`), reads from the pixels of each picture shown when it was made,
and writes ``benchmarks/results/live.json`` and ``.md``. A second run records the video and saves
the joints, too; a third, shorter one shows them to a sink that is slower than the camera.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.record import Record, here_and_now, keep, made_on
from benchmarks.synthetic_camera import read_stamp, synthetic_camera
from rtpose.commands.options import Settings
from rtpose.commands.setup import Setup, set_up
from rtpose.errors import RtposeError
from rtpose.live import Session
from rtpose.media.cameras import Camera
from rtpose.media.feeds import open_feed
from rtpose.media.hud import draw_hud
from rtpose.media.recording import Recorder
from rtpose.media.sample import write_sample
from rtpose.media.saver import open_saver
from rtpose.media.view import Action, Hud
from rtpose.pose import Frame, FrameResult
from rtpose.stream import newest_frame

_SETTLING_S = 10.0
"""Left out at the start: caches fill, memory is taken."""

_MOST_FPS = 240
"""Of the camera."""

_BIN_S = 10.0
"""Slopes are fitted to the medians of such pieces: neighbouring frames are alike, and a fit to
each would look surer than it is."""


class Column:
    """Numbers that are noted one after the other, in memory of fixed size."""

    def __init__(self, seconds: float) -> None:
        # not zeros: such memory is taken only when it is written to
        self._values = np.full(int((seconds + 1) * _MOST_FPS), np.nan)
        self._count = 0

    def append(self, value: float) -> None:
        """Note one more."""
        self._values[self._count] = value
        self._count += 1

    def all(self) -> np.ndarray:
        """(N,) float64, all that were noted."""
        return self._values[: self._count]


class MeasuringView:
    """Draws what a window would draw, and notes how old it is by then.

    Parameters
    ----------
    seconds : float
        After which it asks to quit.
    slow_s : float
        How long showing a picture takes.
    """

    def __init__(self, seconds: float, slow_s: float) -> None:
        self.stamps: dict[int, tuple[int, float]] = {}
        # all memory that measuring takes is taken now: it is memory that is measured
        self.processing_s = Column(seconds)
        self.numbers = Column(seconds)
        self.shown_s = Column(seconds)
        self.ages_s = Column(seconds)
        self.noted_s = Column(seconds)
        self.memory_mb = Column(seconds)
        self._end_s = time.monotonic() + seconds
        self._slow_s = slow_s

    def show(self, result: FrameResult, hud: Hud) -> None:
        """Note the picture's age; pictures shown again have been noted before."""
        draw_hud(result.frame.image.copy(), hud)
        found = self.stamps.pop(result.frame.index, None)
        if found is None:
            return
        for index in [i for i in self.stamps if i < result.frame.index]:
            del self.stamps[index]
        time.sleep(self._slow_s)
        now_s = time.monotonic()
        self.numbers.append(found[0])
        self.shown_s.append(now_s)
        self.ages_s.append(now_s - found[1])
        if not len(self.noted_s.all()) or now_s - self.noted_s.all()[-1] > 1:
            self.noted_s.append(now_s)
            self.memory_mb.append(_own_memory_mb())

    def actions(self) -> Sequence[Action]:
        """Quit when the time is over."""
        return (Action.QUIT,) if time.monotonic() > self._end_s else ()

    def close(self) -> None:
        """Nothing to close."""


def measure(
    clip: Path,
    setup: Setup,
    fps: float,
    seconds: float,
    slow_ms: float = 0.0,
    kept: Path | None = None,
) -> Record:
    """One run; times in milliseconds, slopes with their standard errors.

    `kept` is a folder in which video and joints are left.
    """
    with ExitStack() as stack:
        url = stack.enter_context(synthetic_camera(clip, fps))
        camera = stack.enter_context(Camera(partial(open_feed, url), "synthetic camera"))
        setup.warm_up(camera.size)
        view = MeasuringView(seconds + _SETTLING_S, slow_ms / 1e3)
        recorder, saver = Recorder(kept and kept / "kept.mp4", fps), None
        stack.callback(recorder.stop)
        if kept:
            recorder.start()
            skeleton = setup.estimator.skeleton
            saver = stack.enter_context(open_saver(kept / "kept.jsonl", skeleton, False))
        session = Session(camera, view, setup.draw, setup.engine, recorder, saver=saver)
        follow = setup.new_follower()

        def step(frame: Frame) -> FrameResult:
            began = time.perf_counter()
            view.stamps[frame.index] = read_stamp(frame.image)
            result = follow(frame)
            view.processing_s.append(time.perf_counter() - began)
            return result

        stop = threading.Event()
        with closing(newest_frame(camera.frames(stop), step, stop=stop)) as results:
            session.run(results)
    if session.fault:
        raise RtposeError(session.fault)
    return {"recording": kept is not None, **_summary(view, fps, slow_ms)}


def _summary(view: MeasuringView, fps: float, slow_ms: float) -> dict[str, object]:
    shown_s, ages_ms = view.shown_s.all(), 1e3 * view.ages_s.all()
    settled = shown_s > shown_s[0] + _SETTLING_S
    shown_s, ages_ms = shown_s[settled], ages_ms[settled]
    numbers = view.numbers.all()[settled]
    noted_s, memory_mb = view.noted_s.all(), view.memory_mb.all()
    later = noted_s > (shown_s[0] + shown_s[-1]) / 2
    made = int(numbers[-1] - numbers[0]) + 1
    processing_ms = 1e3 * view.processing_s.all()
    p50, p95 = np.percentile(ages_ms, (50, 95))
    # a result may wait for a slow sink for as long as the next one takes to replace it
    turns = 2 if slow_ms else 1
    limit_ms = 2e3 / fps + turns * float(np.percentile(processing_ms, 95)) + slow_ms
    age_slope = _slope(shown_s, ages_ms)
    memory_slope = _slope(noted_s[later], memory_mb[later])
    return {
        "sink_ms": slow_ms,
        "camera_fps": fps,
        "seconds": round(float(shown_s[-1] - shown_s[0]), 1),
        "made": made,
        "used": len(numbers),
        "dropped": made - len(numbers),
        "shown_fps": round(len(numbers) / float(shown_s[-1] - shown_s[0]), 1),
        "processing_ms_p50": round(float(np.median(processing_ms)), 1),
        "processing_ms_p95": round(float(np.percentile(processing_ms, 95)), 1),
        "age_ms_p50": round(float(p50), 1),
        "age_ms_p95": round(float(p95), 1),
        "age_ms_max": round(float(ages_ms.max()), 1),
        "age_ms_p95_limit": round(limit_ms, 1),
        "age_ms_per_minute": age_slope and [round(60 * v, 3) for v in age_slope],
        "memory_mb": round(float(memory_mb[noted_s > shown_s[0]][0]), 1),
        "memory_mb_half_time": round(float(memory_mb[later][0]), 1),
        "memory_mb_end": round(float(memory_mb[-1]), 1),
        "memory_mb_per_minute": memory_slope and [round(60 * v, 4) for v in memory_slope],
    }


def _slope(times_s: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    """Rise a second and its standard error, over the medians of pieces; None if they are few."""
    pieces = ((times_s - times_s[0]) // _BIN_S).astype(int)
    # the last piece is shorter than the others
    middles = [
        (times_s[pieces == p].mean(), np.median(values[pieces == p])) for p in range(pieces[-1])
    ]
    if len(middles) < 3:
        return None
    x, y = np.array(middles).T
    (rise, _), covariance = np.polyfit(x - x.mean(), y, 1, cov="unscaled")
    residual = y - np.polyval(np.polyfit(x - x.mean(), y, 1), x - x.mean())
    variance = float((residual**2).sum()) / (len(x) - 2)
    return float(rise), float(np.sqrt(covariance[0, 0] * variance))


def _own_memory_mb() -> float:
    """Memory of this process but for libraries' code, which is read when it first runs."""
    found = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(found["RssAnon"].split()[0]) / 1024


def main(
    minutes: Annotated[float, typer.Option(help="Length of the first two runs.")] = 10,
    fps: Annotated[float, typer.Option(help="Of the camera.")] = 30,
    detect_every: Annotated[int, typer.Option(help="As of rtpose webcam.")] = 5,
    model: Annotated[str, typer.Option(help="Pose network.")] = "nano",
    clip: Annotated[Path | None, typer.Option(help="Else a short one of real people.")] = None,
    slow_ms: Annotated[float, typer.Option(help="What the slow sink of run three takes.")] = 200,
) -> None:
    """Measure, print and record."""
    setup = set_up(Settings(model=model, detect_every=detect_every))
    with tempfile.TemporaryDirectory() as folder:
        if clip is None:
            clip = Path(folder) / "clip.mp4"
            write_sample(clip, seconds=3, size=(640, 480))
        runs = [
            measure(clip, setup, fps, 60 * minutes),
            measure(clip, setup, fps, 60 * minutes, kept=Path(folder)),
            measure(clip, setup, fps, 6 * minutes, slow_ms),
        ]
    record = here_and_now() | {
        "engine": setup.engine,
        "detect_every": detect_every,
        "runs": runs,
    }
    keep("live", record, _markdown(record))


def _markdown(record: Record) -> str:
    runs = record["runs"]
    titles = {
        "seconds": "seconds measured",
        "sink_ms": "time the sink takes, ms",
        "camera_fps": "camera, fps",
        "shown_fps": "shown, fps",
        "made": "frames made",
        "used": "frames shown",
        "dropped": "frames dropped",
        "processing_ms_p50": "processing, ms, median",
        "processing_ms_p95": "processing, ms, p95",
        "age_ms_p50": "age when shown, ms, median",
        "age_ms_p95": "age, ms, p95",
        "age_ms_p95_limit": "limit: two camera periods + processing p95 (slow: twice, + sink), ms",
        "age_ms_max": "age, ms, max",
        "age_ms_per_minute": "age's slope, ms a minute, and standard error",
        "memory_mb": "memory without libraries' code, MB",
        "memory_mb_half_time": "at half time",
        "memory_mb_end": "at the end",
        "memory_mb_per_minute": "its slope in the second half, MB a minute, and standard error",
    }
    rows = [
        f"| {title} | " + " | ".join(_cell(run[key]) for run in runs) + " |"
        for key, title in titles.items()
    ]
    return "\n".join(
        [
            "# Age of live pictures",
            "",
            f"Made by `python -m benchmarks.live` with {record['engine']}, detector every "
            f"{record['detect_every']} frames, on {made_on(record)}.",
            "",
            "The camera is a clip served as MJPEG by another process of the same machine; ages are "
            "from the moment stamped into the pixels, before compression, to the drawn picture. "
            "Memory rises by steps at first: what threads free is kept for what they ask for next, "
            "and now and then they hold more at once than ever before. The slope of its second "
            "half tells whether it settles. A recording costs 72 bytes a frame, in which FFmpeg's "
            "writer keeps where it is: 0.13 MB a minute at 30 frames a second, given back every "
            "four hours, with the file.",
            "",
            "| | as quick as it goes | recording, saving joints | slow sink |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _cell(value: object) -> str:
    if value is None:
        return "too short a run"
    return " ± ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    typer.run(main)
