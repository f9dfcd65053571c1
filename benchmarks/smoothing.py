"""What smoothing takes away, jitter, and what it costs, lag.

``python -m benchmarks.smoothing`` moves joints along known paths, adds the noise that the shipped
network shows, and writes ``benchmarks/results/smoothing.json`` and ``.md``. Nothing is timed and
every random number is seeded: the results are the same on every machine.

``python -m benchmarks.smoothing POSES.jsonl...`` prints the jitter in what ``rtpose video
--no-smooth --save`` wrote, before and after smoothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.record import keep
from rtpose.pose import Pose
from rtpose.smoothing import Smoother

FloatArray = NDArray[np.float64]

SIZE = 200.0
"""Pixels; the noise and every result are in thousandths of it."""

RATES = (5, 30, 60)
SCORES = (0.9, 0.7, 0.5)
SECONDS, SETTLED_S, JOINTS = 30, 1, 16
PARAMETERS = ((0.5, 6.0), (0.5, 3.0), (0.5, 12.0), (1.0, 6.0), (0.25, 6.0), (1.0, 0.01))
"""Minimum cutoff and beta: those in use first, then their neighbours, then a plain low-pass."""

MOTIONS: dict[str, Callable[[FloatArray], tuple[FloatArray, FloatArray]]] = {
    "still": lambda t: (0 * t, 0 * t),
    "walk, 0.8 sizes/s": lambda t: (0.8 * t, 0 * t),
    "swing, 1 Hz": lambda t: (0.2 * np.sin(2 * np.pi * t), 0.07 * np.sin(4 * np.pi * t)),
    "wave, 2.5 Hz": lambda t: (0.15 * np.sin(5 * np.pi * t), 0.05 * np.sin(5 * np.pi * t + 1)),
}
"""Seconds to x and y in body sizes."""


def noise(score: float) -> float:
    """Standard deviation in body sizes of a joint of that score.

    A fit to second differences of nano's joints on the clip of `rtpose.media.sample`, at 30
    frames a second: 0.006 to 0.009 at scores above 0.85, 0.03 to 0.06 between 0.3 and 0.5.
    """
    return float(0.2 * np.exp(-4 * score))


def simulate(motion: str, score: float, fps: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Times (T,), true places (T, K, 2) in body sizes and noisy joints (T, K, 3) in pixels.

    Every joint is at another point of the motion. Errors have the heavy tails of the network's
    (Student's t, four degrees of freedom), and scores waver over 0.3 s.
    """
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * fps + 1) / fps
    shifts = rng.uniform(0, 1, JOINTS)
    true = np.stack(MOTIONS[motion](t[:, None] + shifts), axis=-1)
    errors = rng.standard_t(4, true.shape) / np.sqrt(2)
    stay = np.exp(-1 / (0.3 * fps))
    waver = rng.normal(size=true.shape[:2])
    for i in range(1, len(t)):
        waver[i] = stay * waver[i - 1] + np.sqrt(1 - stay**2) * waver[i]
    scores = np.clip(score + 0.05 * waver, 0.05, 0.98)
    places = SIZE * (true + errors * np.vectorize(noise)(scores)[..., None])
    return t, true, np.concatenate([places, scores[..., None]], axis=-1)


def smooth(smoother: Smoother, t: FloatArray, joints: FloatArray) -> FloatArray:
    """Smoothed places (T, K, 2) in body sizes of one person."""
    box = np.array([0, 0, SIZE, SIZE], np.float32)
    found = [
        smoother.update((Pose(box, 0.9, points.astype(np.float32), 1),), time_s)[0]
        for points, time_s in zip(joints, t.tolist(), strict=True)
    ]
    return np.stack([pose.joints[:, :2] for pose in found]).astype(np.float64) / SIZE


def lag_ms(motion: str, t: FloatArray, places: FloatArray) -> float:
    """By how much the places trail the motion: the delay of it that fits them best."""
    delays = np.arange(-0.05, 0.4, 0.001)
    shifts = np.random.default_rng(0).uniform(0, 1, JOINTS)
    settled = t >= SETTLED_S
    late = t[settled, None] + shifts
    misfit = [
        ((np.stack(MOTIONS[motion](late - d), axis=-1) - places[settled]) ** 2).mean()
        for d in delays
    ]
    return float(1e3 * delays[np.argmin(misfit)])


def measure(cutoff_hz: float, beta: float, score: float, fps: int) -> dict[str, object]:
    """Jitter of a still person, and lag and error in every motion, with and without smoothing."""
    row: dict[str, object] = {
        "min_cutoff_hz": cutoff_hz, "beta": beta, "score": score, "camera_fps": fps,
    }  # fmt: skip
    for motion in MOTIONS:
        t, true, joints = simulate(motion, score, fps)
        given = joints[..., :2] / SIZE
        smoothed = smooth(Smoother(min_cutoff_hz=cutoff_hz, beta=beta), t, joints)
        settled = t >= SETTLED_S
        raw, left = (
            float(1e3 * np.sqrt(((places - true)[settled] ** 2).mean()))
            for places in (given, smoothed)
        )
        found: dict[str, float] = {"raw": round(raw, 1), "smoothed": round(left, 1)}
        if motion != "still":
            found["lag_ms"] = round(lag_ms(motion, t, smoothed))
        row[motion] = found
    return row


def main(
    poses: Annotated[list[Path] | None, typer.Argument(help="Of `--no-smooth --save`.")] = None,
) -> None:
    """Measure, print and record; or look into files of poses."""
    if poses:
        for path in poses:
            print(f"{path.name}\n{real_jitter(path)}")
        return
    rows = [measure(*PARAMETERS[0], score, fps) for fps in RATES for score in SCORES]
    rows += [measure(*pair, 0.9, 30) for pair in PARAMETERS[1:]]
    keep("smoothing", rows, _markdown(rows))


def real_jitter(path: Path) -> str:
    """Jitter in a file of poses by the joints' scores, in thousandths of the body size.

    Of three frames in a row, how far the middle one is from between its neighbours, as the
    standard deviation of the white noise that would do that. Motion adds to it.
    """
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    smoother = Smoother()
    tracks: dict[int, list[tuple[int, NDArray[np.float32], NDArray[np.float32], float]]] = {}
    for line in lines:
        people = tuple(
            Pose(
                np.array(person["box"], np.float32),
                person["score"],
                np.array(list(person["joints"].values()), np.float32),
                person["id"],
            )
            for person in line["people"]
        )
        for given, smoothed in zip(people, smoother.update(people, line["time_s"]), strict=True):
            size = float(np.sqrt(np.prod(given.box[2:] - given.box[:2])))
            both = np.stack([given.joints[:, :2], smoothed.joints[:, :2]])
            seen = line["frame"], both, given.joints[:, 2], size
            tracks.setdefault(given.id or 0, []).append(seen)
    scores, bends = [], []
    for track in tracks.values():
        for before, now, after in zip(track, track[1:], track[2:], strict=False):
            (i, a, *_), (_, b, sure, size), (k, c, *_) = before, now, after
            if k - i == 2:
                bends.append(((a - 2 * b + c) / size) ** 2 / 6)
                scores.append(sure)
    bend, score = np.stack(bends, axis=1).mean(-1), np.stack(scores)
    levels = [0.0, 0.3, 0.5, 0.7, 0.85, 1.01]
    rows = ["| score | joints | raw | smoothed |", "|---|---|---|---|"]
    for low, high in pairwise(levels):
        among = (score >= low) & (score < high)
        if among.any():
            raw, left = 1e3 * np.sqrt(bend[:, among].mean(1))
            rows.append(f"| {low} to {min(high, 1.0)} | {among.sum()} | {raw:.1f} | {left:.1f} |")
    return "\n".join(rows)


def _markdown(rows: list[dict[str, object]]) -> str:
    moving = [motion for motion in MOTIONS if motion != "still"]
    head = "| fps | score | minimum cutoff, Hz | beta | still: jitter |"
    head += "".join(f" {motion}: error | lag, ms |" for motion in moving)
    lines = [
        "# Smoothing",
        "",
        "Made by `python -m benchmarks.smoothing`. Jitter and error are the root mean square "
        "distance along one axis from the true place, in thousandths of the body size, without "
        "and with smoothing; lag is the delay of the true motion that fits the smoothed places "
        "best. At 5 fps every joint was a fifth of a second ago anyway.",
        "",
        head,
        "|" + "---|" * head.count(" |"),
    ]
    for row in rows:
        cells = [row["camera_fps"], row["score"], row["min_cutoff_hz"], row["beta"]]
        for motion in MOTIONS:
            found = row[motion]
            assert isinstance(found, dict)
            cells.append(f"{found['raw']} → {found['smoothed']}")
            cells += [found["lag_ms"]] if "lag_ms" in found else []
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    typer.run(main)
