"""`rtpose video`: skeletons drawn into a video file."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from rtpose.commands.options import (
    ConfidenceOption,
    DetectorOption,
    DeviceOption,
    EngineOption,
    FlipOption,
    JointOption,
    ModelOption,
    OverwriteOption,
    SaveOption,
    Settings,
    SkeletonOption,
)
from rtpose.commands.terminal import INTERRUPTED, console, ctrl_c, frame_progress


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
    settings = Settings(model, detector, device, engine, confidence, min_joint, skeleton, flip_test)
    annotate(source, out or Path(f"{source.stem}.pose.mp4"), save, overwrite, settings)


def annotate(
    source: Path, out: Path, save: Path | None, overwrite: bool, settings: Settings
) -> None:
    """Write `source` with skeletons to `out`, its joints to `save`, and say what came of it."""
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
        engine = estimator.engine
        engine.warm_up()
        console.print(
            f"{settings.model} by {engine.name} {engine.precision} on {engine.device}: "
            f"{estimator.reason}",
            markup=False,
            soft_wrap=True,
        )
        progress = stack.enter_context(frame_progress())
        task = progress.add_task(source.name, total=file.info.frames)
        results = stack.enter_context(closing(pose_frames(file, estimator, Tracker())))
        interrupt = stack.enter_context(ctrl_c())
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
    for line in writer.audio_skipped:
        console.print(f"note: {line}", style="yellow", markup=False)
    if interrupt.is_set():
        console.print(f"stopped: {out} holds the frames up to here", style="yellow", markup=False)
    elif file.broken:
        console.print(f"warning: {source} {file.broken}", style="yellow", markup=False)
    console.print(
        f"{out}: {writer.frames} frames, {len(people)} people, {writer.frames / seconds:.1f} fps",
        markup=False,
    )
    if interrupt.is_set():
        raise typer.Exit(INTERRUPTED)
