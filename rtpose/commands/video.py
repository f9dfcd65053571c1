"""`rtpose video`: skeletons drawn into video files."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtpose.commands.options import (
    ConfidenceOption,
    DetectEveryOption,
    DetectorOption,
    DetectSizeOption,
    DeviceOption,
    EngineOption,
    FlipOption,
    JointOption,
    ModelOption,
    OverwriteOption,
    SaveOption,
    Settings,
    SkeletonOption,
    SmoothOption,
)
from rtpose.commands.terminal import (
    INTERRUPTED,
    console,
    counted,
    ctrl_c,
    ctrl_c_afterwards,
    frame_progress,
)
from rtpose.errors import RtposeError
from rtpose.targets import check_apart

if TYPE_CHECKING:
    from rich.progress import Progress

    from rtpose.commands.setup import Setup
    from rtpose.media.saver import Saver


def video(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT", help="Video files, or addresses: rtsp://, http://; one by one."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Video with skeletons: .mp4, .mov or .mkv; or a folder for INPUT.pose.mp4, "
            "which else goes into the current one."
        ),
    ] = None,
    save: SaveOption = None,
    no_video: Annotated[
        bool, typer.Option("--no-video", help="Write the joints only, which is quicker.")
    ] = False,
    overwrite: OverwriteOption = False,
    model: ModelOption = "nano",
    detector: DetectorOption = None,
    detect_size: DetectSizeOption = None,
    detect_every: DetectEveryOption = 1,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    confidence: ConfidenceOption = None,
    min_joint: JointOption = 0.3,
    skeleton: SkeletonOption = None,
    flip_test: FlipOption = False,
    smooth: SmoothOption = True,
) -> None:
    """Draw skeletons into videos: same size, rate, length and sound.

    A stream is read frame by frame until it ends or Ctrl-C; its sound is left out.
    """
    from rtpose.media.urls import as_path

    inputs = [as_path(source) for source in inputs]
    settings = Settings(
        model,
        detector,
        detect_size,
        device,
        engine,
        confidence,
        min_joint,
        skeleton,
        flip_test,
        detect_every,
        smooth,
    )
    if no_video and out:
        raise RtposeError(f"--no-video and --out {out} exclude each other")
    if no_video and not save:
        raise RtposeError("--no-video leaves nothing to write; add --save poses.jsonl")
    targets = [None] * len(inputs) if no_video else name_targets(inputs, out)
    annotate(inputs, targets, save, overwrite, settings)


def name_targets(inputs: Sequence[str], out: Path | None) -> list[Path]:
    """Where each video goes: `out` itself, or NAME.pose.mp4 in it where it is a folder.

    Raises
    ------
    RtposeError
        If several would get the same name, or one that of an input.
    """
    from rtpose.media.urls import is_url, stem_of_url

    if out and not out.is_dir():
        if len(inputs) > 1:
            raise RtposeError(
                f"{out}: no such folder to write {len(inputs)} videos into; make it first"
            )
        if not out.suffix:
            raise RtposeError(f"{out}: no such folder; make it first, or name a video: {out}.mp4")
        return [out]
    stems = [stem_of_url(source) if is_url(source) else Path(source).stem for source in inputs]
    targets = [(out or Path()) / f"{stem}.pose.mp4" for stem in stems]
    check_apart(targets, [Path(source) for source in inputs if not is_url(source)])
    return targets


def annotate(
    inputs: Sequence[str],
    targets: Sequence[Path | None],
    save: Path | None,
    overwrite: bool,
    settings: Settings,
) -> None:
    """Write each input with skeletons to its target, joints to `save`, and say what came of it.

    Raises
    ------
    RtposeError
        If one input cannot be read or one output must not be written, before any is begun; or
        if what is written cannot be written further.
    """
    # imported here, so that --help and a mistyped option do not wait for torch
    from rtpose.commands.setup import set_up
    from rtpose.media.saver import check_saver, open_saver
    from rtpose.media.urls import source_name
    from rtpose.stream import STAGE_THREADS

    # inputs and outputs first: they are quick to find fault with, networks are slow to load
    for source, target in zip(inputs, targets, strict=True):
        _find_fault(source, target, overwrite)
    if save:
        check_saver(save, overwrite)
        if len({source_name(source) for source in inputs}) < len(inputs):
            raise RtposeError(f"{save} could not tell two of the inputs apart; run them apart")
    setup = set_up(settings, STAGE_THREADS)
    counts: list[int] = []
    with ExitStack() as stack:
        progress = stack.enter_context(frame_progress())
        interrupt = stack.enter_context(ctrl_c())
        saver = None
        if save:  # after ctrl_c, so that it is finished before Ctrl-C means again what it meant
            saver = stack.enter_context(open_saver(save, setup.estimator.skeleton, overwrite))
        try:
            for source, target in zip(inputs, targets, strict=True):
                if interrupt.is_set():
                    break
                counts.append(
                    _annotate_one(source, target, overwrite, setup, saver, progress, interrupt)
                )
        finally:
            left = len(inputs) - len([count for count in counts if count])
            if left and len(inputs) > 1:
                console.print(f"{left} of {len(inputs)} videos are left", style="yellow")
    if save:
        words = counted(sum(counts), "frame", "frames")
        console.print(f"{save}: joints of {words}", markup=False)
    if interrupt.is_set():
        raise typer.Exit(INTERRUPTED)


def _find_fault(source: str, target: Path | None, overwrite: bool) -> None:
    """Open what will be read and written, and leave it as it was.

    A stream is only opened when it is read: one that nobody reads for so long hangs up.
    """
    from rtpose.media.sinks import VideoWriter, check_video_target
    from rtpose.media.sources import VideoFile
    from rtpose.media.urls import is_url

    if is_url(source):
        if target:
            check_video_target(target, overwrite)
        return
    with VideoFile(source) as file:
        if target:
            VideoWriter(target, file.info, source, overwrite=overwrite).abort()


def _annotate_one(
    source: str,
    target: Path | None,
    overwrite: bool,
    setup: Setup,
    saver: Saver | None,
    progress: Progress,
    interrupt: threading.Event,
) -> int:
    """One of several, until it ends or `interrupt` is set; the number of its frames."""
    from rtpose.media.sinks import VideoWriter
    from rtpose.media.sources import VideoFile
    from rtpose.media.urls import is_url
    from rtpose.stream import every_frame

    frames = people = 0
    with ExitStack() as stack:
        with ctrl_c_afterwards():
            file = stack.enter_context(VideoFile(source))
        writer = None
        if target:
            # a file can be read once more, a stream cannot
            sound, crash_safe = (None, True) if is_url(source) else (source, False)
            writer = stack.enter_context(
                VideoWriter(target, file.info, sound, overwrite=overwrite, crash_safe=crash_safe)
            )
        task = progress.add_task(Path(file.name).name, total=file.info.frames)
        stack.callback(progress.remove_task, task)
        follower = setup.new_follower()
        results = stack.enter_context(
            closing(
                every_frame(file.frames(interrupt), follower.look, follower.place, stop=interrupt)
            )
        )
        began = time.perf_counter()
        for result in results:
            if saver:
                saver.write(result)
            if writer:
                setup.draw(result)
                writer.write(result.frame.image, result.frame.time_s)
            # ids count from 1; a set of them would grow for as long as a stream goes on
            people = max([people, *(pose.id or 0 for pose in result.poses)])
            frames += 1
            progress.advance(task)
        seconds = time.perf_counter() - began
        if writer:
            writer.close(file.end_s, interrupted=interrupt.is_set())
    if not frames:
        words = f"stopped before the first frame: nothing is written of {file.name}"
        console.print(words, style="yellow", markup=False)
        return 0
    for line in writer.audio_skipped if writer else ():
        console.print(f"note: {line}", style="yellow", markup=False)
    if interrupt.is_set():
        kept = f"{writer.path} holds" if writer else "the joints are those of"
        console.print(f"stopped: {kept} the frames up to here", style="yellow", markup=False)
    elif file.broken:
        console.print(f"warning: {file.name} {file.broken}", style="yellow", markup=False)
    console.print(
        f"{writer.path if writer else file.name}: {counted(frames, 'frame', 'frames')}, "
        f"{counted(people, 'person', 'people')}, {frames / seconds:.1f} fps",
        markup=False,
    )
    return frames
