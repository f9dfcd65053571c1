"""`rtpose bench`: how fast, and how exact, on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from rtpose.commands.options import (
    DetectorOption,
    DetectSizeOption,
    DeviceOption,
    EngineOption,
    FlipOption,
    ModelOption,
    Settings,
)
from rtpose.commands.terminal import console
from rtpose.errors import RtposeError

if TYPE_CHECKING:  # these import torch, which --help must not wait for
    from rtpose.bench.evaluation import Accuracy
    from rtpose.bench.speed import Speed
    from rtpose.metrics import Comparison

COMPARISONS: dict[str, Comparison] = {"hrnet": "<=", "pytorch-pose": "<"}
"""Whose code to agree with on an error that equals the threshold."""

_REPEATS = 5


def bench(
    clip: Annotated[
        Path | None,
        typer.Argument(metavar="CLIP", help="Video to measure on; else an embedded one."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Measure accuracy: folder of MPII, LSP, FLIC or COCO-format data."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Part of the data: val, test...; else val, or test.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO-format json whose pictures lie in --data.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Score these instead of our networks': .h5, .mat or .json."),
    ] = None,
    skeleton: Annotated[
        str | None, typer.Option(help="Joints of the predictions; else those of the data.")
    ] = None,
    first_pixel: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="Where predictions count from; else .json 0, others 1."),
    ] = None,
    comparison: Annotated[
        str | None,
        typer.Option(
            help="An error equal to the threshold: hrnet (else) right, pytorch-pose wrong."
        ),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=2, help="Times that speed is measured; else 5.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all figures as JSON on standard output.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Picture of where a frame's time goes, with --data of how many joints are right "
            "at which threshold: out.png."
        ),
    ] = None,
    model: ModelOption = "nano",
    detector: DetectorOption = None,
    detect_size: DetectSizeOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    flip_test: FlipOption = False,
) -> None:
    """Measure the speed of every step and of all together; with --data, accuracy."""
    settings = Settings(
        model=model,
        detector=detector,
        detect_size=detect_size,
        device=device,
        engine=engine,
        flip_test=flip_test,
    )
    if data is None:
        given = {"--split": split, "--annotations": annotations, "--predictions": predictions,
                 "--skeleton": skeleton, "--first-pixel": first_pixel,
                 "--comparison": comparison}  # fmt: skip
        for option, value in given.items():
            if value is not None:
                raise RtposeError(f"{option} says how to measure accuracy: name the --data as well")
        speed(settings, clip, repeats or _REPEATS, as_json, plot)
        return
    if clip is not None:
        raise RtposeError(f"speed is measured on {clip}, accuracy on --data: leave one of them out")
    if repeats is not None:
        raise RtposeError("--repeats is about speed; accuracy is the same every time: leave it out")
    if comparison is None:
        comparison = "hrnet"
    elif comparison not in COMPARISONS:
        raise RtposeError(f"unknown comparison {comparison!r}: choose {' or '.join(COMPARISONS)}")
    if predictions is None:
        for option, value in {"--skeleton": skeleton, "--first-pixel": first_pixel}.items():
            if value is not None:
                raise RtposeError(f"{option} is about --predictions: name them as well")
    elif settings != Settings():
        raise RtposeError(
            "--predictions are scored without our networks: leave --model and the like out"
        )
    accuracy(
        settings, data, split, annotations, predictions, skeleton, first_pixel,
        COMPARISONS[comparison], as_json, plot,
    )  # fmt: skip


def speed(
    settings: Settings, clip: Path | None, repeats: int, as_json: bool, plot: Path | None
) -> None:
    """Measure on a clip, show tables, and what else was asked for."""
    # imported here, so that --help and a mistyped option do not wait for torch
    from rtpose.bench.machine import describe, described, gpu_used_mb
    from rtpose.bench.plot import check_plot, plot_stages
    from rtpose.bench.report import speed_tables
    from rtpose.bench.speed import measure_speed
    from rtpose.commands.setup import set_up
    from rtpose.gpu import select_device
    from rtpose.media.sample import write_sample
    from rtpose.media.sources import VideoFile
    from rtpose.stream import STAGE_THREADS

    if plot:
        check_plot(plot)
    machine = describe()
    with tempfile.TemporaryDirectory(prefix="rtpose-") as name:
        folder = Path(name)
        sample = folder / "sample.mp4"
        write_sample(sample)
        with VideoFile(clip or sample) as file:
            size = f"{file.info.width}x{file.info.height}"
        gpu_before_mb = gpu_used_mb(select_device(settings.device))
        # as in `rtpose video`, whose speed is asked for
        estimator = set_up(settings, STAGE_THREADS).estimator
        with console.status("warming up") as status:
            result = measure_speed(
                estimator,
                clip or sample,
                sample,
                folder,
                repeats,
                status.update,
                gpu_before_mb,
            )
    about = {
        "machine": machine,
        "settings": {
            "clip": f"{clip.name if clip else 'embedded'}, {size}",
            **described(settings.model, estimator, settings.flip_test),
            "repeats": str(repeats),
        },
    }
    if plot:
        plot_stages(result, f"{about['settings']['pose']}, {machine['processor']}", plot)
    _show(about, "speed", result, speed_tables(result), as_json)


def accuracy(
    settings: Settings,
    data: Path,
    split: str | None,
    annotations: Path | None,
    predictions: Path | None,
    skeleton: str | None,
    first_pixel: int | None,
    comparison: Comparison,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Score our networks, or a file of predictions, on labelled people."""
    from rtpose.bench.evaluation import evaluate, evaluate_predictions, find_split
    from rtpose.bench.machine import describe, described
    from rtpose.bench.plot import check_plot, plot_curves
    from rtpose.bench.report import accuracy_tables
    from rtpose.commands.setup import set_up
    from rtpose.skeleton import SKELETONS

    if plot:
        check_plot(plot)
    if skeleton is not None and skeleton not in SKELETONS:
        raise RtposeError(f"unknown skeleton {skeleton!r}: choose {', '.join(SKELETONS)}")
    part = find_split(data, split, annotations)
    about = {
        "machine": describe(),
        "settings": {
            "data": f"{part.dataset.format}, {part.name}",
            "right": f"error {comparison}",
            "torso": " to ".join(part.torso),
        },
    }
    if predictions:
        joints = SKELETONS[skeleton] if skeleton else part.skeleton
        about["settings"] |= {"predictions": predictions.name, "joints": joints.name}
        result = evaluate_predictions(part, predictions, joints, comparison, first_pixel)
    else:
        plain = set_up(replace(settings, flip_test=False)).estimator
        flipping = set_up(settings).estimator if settings.flip_test else None
        about["settings"] |= described(settings.model, flipping or plain, settings.flip_test)
        with console.status("reading labels") as status:
            result = evaluate(part, plain, flipping, comparison, status.update)
    if plot:
        plot_curves(result, f"{part.dataset.format}, {part.name}", plot)
    _show(about, "accuracy", result, accuracy_tables(result), as_json)


def _show(
    about: dict[str, dict[str, str]],
    kind: str,
    result: Speed | Accuracy,
    tables: Iterable[RenderableType],
    as_json: bool,
) -> None:
    """As JSON for programs, or as tables for people."""
    from rtpose.bench.report import header, plain

    if as_json:
        typer.echo(json.dumps({"date": f"{date.today()}", **about, kind: plain(result)}, indent=1))
        return
    console.print(header(about), "")
    for table in tables:
        console.print(table)
