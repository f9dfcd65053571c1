"""`rtpose bench`: how fast, and how exact, on this machine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from rtpose.commands.options import (
    DetectorOption,
    DeviceOption,
    EngineOption,
    FlipOption,
    ModelOption,
    Settings,
)
from rtpose.commands.terminal import console


def bench(
    clip: Annotated[
        Path | None,
        typer.Argument(metavar="[CLIP]", help="Video to measure on; else an embedded one."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=2, help="Times that all is measured.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all figures as JSON on standard output.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of where a frame's time goes: out.png.")
    ] = None,
    model: ModelOption = "nano",
    detector: DetectorOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    flip_test: FlipOption = False,
) -> None:
    """Measure the speed of every step, and of all together."""
    settings = Settings(
        model=model, detector=detector, device=device, engine=engine, flip_test=flip_test
    )
    speed(settings, clip, repeats, as_json, plot)


def speed(
    settings: Settings, clip: Path | None, repeats: int, as_json: bool, plot: Path | None
) -> None:
    """Measure on a clip, show tables, and what else was asked for."""
    # imported here, so that --help and a mistyped option do not wait for torch
    import torch

    from rtpose.bench.machine import describe, described, gpu_used_mb
    from rtpose.bench.plot import check_plot, plot_stages
    from rtpose.bench.report import header, plain, speed_tables
    from rtpose.bench.speed import measure_speed
    from rtpose.engines.select import select_device
    from rtpose.estimator import load_estimator
    from rtpose.media.sample import write_sample
    from rtpose.media.sources import VideoFile

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
        estimator = load_estimator(
            settings.model,
            device=settings.device,
            engine=settings.engine,
            detector=settings.detector,
            flip_test=settings.flip_test,
        )
        if estimator.engine.name == "openvino":
            # as `rtpose video` does, and for its reasons
            torch.set_num_threads(1)
        estimator.engine.warm_up()
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
            **described(settings.model, estimator),
            "repeats": str(repeats),
        },
    }
    if plot:
        plot_stages(result, f"{about['settings']['pose']}, {machine['processor']}", plot)
    if as_json:
        typer.echo(json.dumps({**about, "speed": plain(result)}, indent=1))
        return
    console.print(header(about), "")
    for table in speed_tables(result):
        console.print(table)
