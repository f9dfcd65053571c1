"""Speed and memory of the main job on this machine.

``python -m benchmarks.pipeline CLIP...`` times each step alone on one person at 640x480 and the
whole of ``rtpose video`` on every clip, and writes ``benchmarks/results/pipeline.json`` and
``.md``. Every step is timed many times, in rounds that take turns, so that a busy moment of the
machine hits all alike; medians and the spread of the middle half are kept.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.record import Record, here_and_now, keep, made_on, quartiles_ms
from rtpose.checkpoint import load_checkpoint
from rtpose.decode import decode
from rtpose.detector import load_detector
from rtpose.draw import draw_poses
from rtpose.engines.select import select_engine
from rtpose.estimator import load_estimator
from rtpose.geometry import crop_squares, cut_crops
from rtpose.media.sample import write_sample
from rtpose.media.sources import VideoFile
from rtpose.pose import Image
from rtpose.shipped import find_weights


def time_steps(rounds: int, model: str) -> list[dict[str, object]]:
    """Milliseconds of every step, one person in a 640x480 frame."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_sample(clip, seconds=2, size=(640, 480))
        with VideoFile(clip) as file:
            image = [frame.image for frame in file][-1]
    checkpoint = load_checkpoint(find_weights(model))
    detector = load_detector()
    box = detector(image)[0][:1]
    size = checkpoint.input_size
    crops = torch.from_numpy(cut_crops(image, crop_squares(box), size))
    eager, fast = (select_engine(n, checkpoint, "cpu").engine for n in ("eager", "openvino"))
    heatmaps = eager(crops)
    whole = load_estimator(model)
    poses = whole(image)

    def draw(picture: Image) -> None:
        draw_poses(picture.copy(), poses[:1], whole.skeleton, predicted=whole.skeleton)

    steps: dict[str, Callable[[], object]] = {
        f"detector, {detector.size} px, {detector.precision}": lambda: detector(image),
        "cut one crop": lambda: cut_crops(image, crop_squares(box), size),
        f"{model}, {size} px, eager fp32, one crop": lambda: eager(crops),
        f"{model}, {size} px, openvino {fast.precision}, one crop": lambda: fast(crops),
        "decode one person": lambda: decode(heatmaps),
        "draw one person": lambda: draw(image),
        f"picture to poses, {len(poses)} people": lambda: whole(image),
    }
    for step in steps.values():
        for _ in range(5):
            step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            for _ in range(5):
                began = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - began)
    return [{"step": name, **quartiles_ms(values)} for name, values in times.items()]


def run_video(clip: Path, repeats: int, *options: str) -> dict[str, object]:
    """``rtpose video`` on a clip in processes of their own: frames a second and peak memory.

    With the video and with the joints alone take turns.
    """
    fps, fps_joints, seconds = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mp4"
        joints = ["--no-video", "--save", str(Path(folder) / "out.csv")]
        for _ in range(repeats):
            began = time.perf_counter()
            frames, people, rate = _command(clip, "--out", str(out), *options)
            seconds.append(time.perf_counter() - began)
            fps.append(rate)
            fps_joints.append(_command(clip, *joints, *options)[2])
        size = out.stat().st_size
    with VideoFile(clip) as file:
        shape = f"{file.info.width}x{file.info.height}"
    return {
        "clip": clip.name,
        "size": shape,
        "frames": frames,
        "people": people,
        "fps": round(float(np.median(fps)), 1),
        "fps_all": fps,
        "fps_joints_only": round(float(np.median(fps_joints)), 1),
        "fps_joints_only_all": fps_joints,
        "seconds_with_start": round(float(np.median(seconds)), 1),
        "bytes_out_over_in": round(size / clip.stat().st_size, 2),
        # of the largest process so far: the clips are run from small to large
        "peak_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def _command(clip: Path, *options: str) -> tuple[int, int, float]:
    """Frames, people and frames a second, as the command says them."""
    command = [sys.executable, "-c", "from rtpose.cli import main; main()", "video"]
    done = subprocess.run(
        [*command, str(clip), "--overwrite", *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"(\d+) frames, (\d+) people, ([\d.]+) fps", done.stderr)
    if found is None:
        raise RuntimeError(f"no summary in {done.stderr!r}")
    return int(found[1]), int(found[2]), float(found[3])


def main(
    clips: Annotated[list[Path], typer.Argument(help="Video files.")],
    rounds: Annotated[int, typer.Option(help="Rounds of the steps.")] = 20,
    repeats: Annotated[int, typer.Option(help="Runs of each clip.")] = 3,
    model: Annotated[str, typer.Option(help="Pose network.")] = "nano",
) -> None:
    """Measure, print and record."""
    videos = [run_video(clip, repeats, "--model", model) for clip in clips]
    record = here_and_now() | {
        "steps": time_steps(rounds, model),
        "videos": videos,
    }
    keep("pipeline", record, _markdown(record))


def _markdown(record: Record) -> str:
    steps, videos = record["steps"], record["videos"]
    lines = [
        "# Speed and memory of the main job",
        "",
        f"Made by `python -m benchmarks.pipeline CLIPS` on {made_on(record)}.",
        "",
        "| step | ms, median | middle half |",
        "|---|---|---|",
        *(f"| {s['step']} | {s['ms']} | {s['ms_p25']} to {s['ms_p75']} |" for s in steps),
        "",
        "The whole of `rtpose video CLIP`, every frame detected, posed, drawn and written as "
        "H.264; fps from the first frame on, seconds with start-up. The joints only, with "
        "`--no-video --save out.csv`, in turns with the whole:",
        "",
        "| clip | size | frames | people | fps, median | fps, runs | joints only | runs | s "
        "| MB out/in | peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {v['clip']} | {v['size']} | {v['frames']} | {v['people']} | {v['fps']} | "
            f"{', '.join(map(str, v['fps_all']))} | {v['fps_joints_only']} | "
            f"{', '.join(map(str, v['fps_joints_only_all']))} | {v['seconds_with_start']} | "
            f"{v['bytes_out_over_in']} | {v['peak_mb']} |"
            for v in videos
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
