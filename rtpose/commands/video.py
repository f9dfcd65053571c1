"""`rtpose video`: skeletons drawn into a video file."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

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
from rtpose.commands.terminal import INTERRUPTED, console, ctrl_c, ctrl_c_afterwards, frame_progress
from rtpose.errors import RtposeError


def video(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A video file, or an address: rtsp://, http://.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Video with skeletons: .mp4, .mov or .mkv; else INPUT.pose.mp4 in the "
            "current folder."
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
    """Draw skeletons into a video: same size, rate, length and sound.

    A stream is read frame by frame until it ends or Ctrl-C; its sound is left out.
    """
    from rtpose.media.urls import is_url, stem_of_url

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
    if not (no_video or out):
        stem = stem_of_url(source) if is_url(source) else Path(source).stem
        out = Path(f"{stem}.pose.mp4")
    annotate(source, out, save, overwrite, settings)


def annotate(
    source: str, out: Path | None, save: Path | None, overwrite: bool, settings: Settings
) -> None:
    """Write `source` with skeletons to `out`, its joints to `save`, and say what came of it."""
    # imported here, so that --help and a mistyped option do not wait for torch
    from rtpose.commands.setup import set_up
    from rtpose.media.saver import check_saver, open_saver
    from rtpose.media.sinks import VideoWriter
    from rtpose.media.sources import VideoFile
    from rtpose.media.urls import is_url
    from rtpose.stream import STAGE_THREADS, every_frame

    frames = people = 0
    with ExitStack() as stack:
        # Input and output first: they are quick to find fault with, networks are slow to load, or
        # to build. But a stream that nobody reads for so long hangs up.
        setup = set_up(settings, STAGE_THREADS) if is_url(source) else None
        with ctrl_c_afterwards():
            file = stack.enter_context(VideoFile(source))
        sound = None if is_url(source) else source
        writer = saver = None
        if out:
            # a file can be read once more, a stream cannot
            writer = stack.enter_context(
                VideoWriter(out, file.info, sound, overwrite=overwrite, crash_safe=is_url(source))
            )
        if save:
            check_saver(save, overwrite)
        setup = setup or set_up(settings, STAGE_THREADS)
        progress = stack.enter_context(frame_progress())
        task = progress.add_task(file.name, total=file.info.frames)
        interrupt = stack.enter_context(ctrl_c())
        if save:  # after ctrl_c, so that it is finished before Ctrl-C means again what it meant
            saver = stack.enter_context(open_saver(save, setup.estimator.skeleton, overwrite))
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
            writer.close(interrupted=interrupt.is_set())
    if not frames:
        what = f"{save} is empty" if save else "nothing is written"
        console.print(f"stopped before the first frame: {what}", style="yellow", markup=False)
        raise typer.Exit(INTERRUPTED)
    for line in writer.audio_skipped if writer else ():
        console.print(f"note: {line}", style="yellow", markup=False)
    made = writer.path if writer else save
    if interrupt.is_set():
        console.print(f"stopped: {made} holds the frames up to here", style="yellow", markup=False)
    elif file.broken:
        console.print(f"warning: {file.name} {file.broken}", style="yellow", markup=False)
    console.print(
        f"{made}: {frames} frames, {people} people, {frames / seconds:.1f} fps",
        markup=False,
    )
    if interrupt.is_set():
        raise typer.Exit(INTERRUPTED)
