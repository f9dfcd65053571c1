"""The command line: parses words, calls the pipeline, shows results."""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rtpose.errors import RtposeError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Human pose from videos: who is where, and how, in real time.",
)
_console = Console(stderr=True, highlight=False)

_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

SaveOption = Annotated[
    Path | None, typer.Option(help="Also write the joints, a line of JSON a frame: poses.jsonl.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
ModelOption = Annotated[str, typer.Option(help="Pose network: nano, or a .safetensors file.")]
DetectorOption = Annotated[
    str | None,
    typer.Option(help="Person detector: a model file for ultralytics; else the shipped one."),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
EngineOption = Annotated[
    str, typer.Option(help="What runs the pose network: auto, eager, openvino.")
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Least score of a person; else the detector's own."),
]
JointOption = Annotated[
    float, typer.Option(min=0, max=1, help="Least score of a joint that is drawn.")
]
SkeletonOption = Annotated[
    str, typer.Option(help="Joints drawn: body21, mpii16, coco17, lsp14 or flic11.")
]
FlipOption = Annotated[
    bool, typer.Option(help="Average with the mirror image: more exact, half as fast.")
]


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what is chosen and why.")] = False,
) -> None:
    """Set up what all commands share."""
    handler = RichHandler(console=_console, show_path=False, show_time=False, show_level=False)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("rtpose").setLevel(level)
    if show_version:
        typer.echo(f"rtpose {version('rtpose')}")
        raise typer.Exit


@app.command()
def video(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A video file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Video with skeletons: .mp4, .mov or .mkv; else INPUT.pose.mp4."),
    ] = None,
    save: SaveOption = None,
    overwrite: OverwriteOption = False,
    model: ModelOption = "nano",
    detector: DetectorOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    confidence: ConfidenceOption = None,
    min_joint: JointOption = 0.3,
    skeleton: SkeletonOption = "body21",
    flip_test: FlipOption = False,
) -> None:
    """Draw skeletons into a video: same size, rate, length and sound."""
    settings = _Settings(
        model, detector, device, engine, confidence, min_joint, skeleton, flip_test
    )
    _annotate(source, out or Path(f"{source.stem}.pose.mp4"), save, overwrite, settings)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Video to write.")] = Path("demo.pose.mp4"),
    overwrite: OverwriteOption = False,
) -> None:
    """Run the main job on a short clip of real people that is made on the spot."""
    from rtpose.media.sample import write_sample

    with tempfile.TemporaryDirectory(prefix="rtpose-") as folder:
        clip = Path(folder) / "sample.mp4"
        write_sample(clip)
        _annotate(clip, out, None, overwrite, _Settings())


@dataclass(frozen=True)
class _Settings:
    model: str = "nano"
    detector: str | None = None
    device: str = "auto"
    engine: str = "auto"
    confidence: float | None = None
    min_joint: float = 0.3
    skeleton: str = "body21"
    flip_test: bool = False


def _annotate(
    source: Path, out: Path, save: Path | None, overwrite: bool, settings: _Settings
) -> None:
    # imported here, so that --help and a mistyped option do not wait for torch
    import torch

    from rtpose.draw import draw_poses
    from rtpose.estimator import load_estimator
    from rtpose.media.jsonl import JsonlWriter
    from rtpose.media.sinks import VideoWriter
    from rtpose.media.sources import VideoFile
    from rtpose.skeleton import find_skeleton
    from rtpose.stream import pose_frames
    from rtpose.tracker import Tracker

    people: set[int | None] = set()
    with ExitStack() as stack:
        # input and output first: they are quick to find fault with, networks are slow to load
        file = stack.enter_context(VideoFile(source))
        writer = stack.enter_context(VideoWriter(out, file.info, source, overwrite=overwrite))
        estimator = load_estimator(
            settings.model,
            device=settings.device,
            engine=settings.engine,
            detector=settings.detector,
            confidence=settings.confidence,
            flip_test=settings.flip_test,
        )
        if estimator.engine.name == "openvino":
            # torch's threads go on spinning after each small operation and take the cores that
            # openvino is about to use: the detector is half as fast again without them
            torch.set_num_threads(1)
        shown = find_skeleton(settings.skeleton, estimator.skeleton)
        saver = (
            stack.enter_context(JsonlWriter(save, estimator.skeleton, overwrite=overwrite))
            if save
            else None
        )
        estimator.engine.warm_up()
        progress = stack.enter_context(_progress())
        task = progress.add_task(source.name, total=file.info.frames)
        results = stack.enter_context(closing(pose_frames(file, estimator, Tracker())))
        interrupt = stack.enter_context(_ctrl_c())
        began = time.perf_counter()
        for result in results:
            if interrupt.is_set():
                break
            if saver:
                saver.write(result)
            draw_poses(
                result.frame.image,
                result.poses,
                shown,
                min_score=settings.min_joint,
                predicted=estimator.skeleton,
            )
            writer.write(result.frame.image, result.frame.time_s)
            people.update(pose.id for pose in result.poses)
            progress.advance(task)
        seconds = time.perf_counter() - began
        writer.close(interrupted=interrupt.is_set())
    engine = estimator.engine
    for line in writer.audio_skipped:
        _console.print(f"note: {line}", style="yellow", markup=False)
    if interrupt.is_set():
        _console.print(f"stopped: {out} holds the frames up to here", style="yellow", markup=False)
    elif file.broken:
        _console.print(f"warning: {source} {file.broken}", style="yellow", markup=False)
    _console.print(
        f"{out}: {writer.frames} frames, {len(people)} people, {writer.frames / seconds:.1f} fps, "
        f"{settings.model} by {engine.name} {engine.precision} on {engine.device}",
        markup=False,
    )
    if interrupt.is_set():
        raise typer.Exit(_INTERRUPTED)


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that work stops between two frames and not inside one.

    A second Ctrl-C interrupts whatever runs, as without this.
    """
    pressed = threading.Event()

    def press(number: int, frame: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


class _Speed(ProgressColumn):
    """Frames per second, as measured lately."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} fps" if speed else "- fps")


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        _Speed(),
        TimeRemainingColumn(),
        console=_console,
        transient=True,
    )


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2."""
    try:
        app()
    except RtposeError as error:
        _console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(2)
