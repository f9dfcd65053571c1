"""Speed and memory of the main job on this machine.

``python -m benchmarks.pipeline CLIP...`` times the whole of ``rtpose video`` on every clip, and
writes ``benchmarks/results/pipeline.json`` and ``.md``. ``rtpose bench`` times a frame's steps.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.record import Record, here_and_now, keep, made_on
from rtpose.media.sources import VideoFile


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
    repeats: Annotated[int, typer.Option(help="Runs of each clip.")] = 3,
    model: Annotated[str, typer.Option(help="Pose network.")] = "nano",
) -> None:
    """Measure, print and record."""
    videos = [run_video(clip, repeats, "--model", model) for clip in clips]
    record = here_and_now() | {"videos": videos}
    keep("pipeline", record, _markdown(record))


def _markdown(record: Record) -> str:
    lines = [
        "# Speed and memory of the main job",
        "",
        f"Made by `python -m benchmarks.pipeline CLIPS` on {made_on(record)}.",
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
            for v in record["videos"]
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
