"""``python -m training``: train and evaluate networks."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from rtpose.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.metrics import COLUMNS, columns
from rtpose.network import DCHourglass
from rtpose.skeleton import SKELETONS
from training.calibrate import calibration_error, fit_calibration, right_or_wrong
from training.config import read_config
from training.detector import DetectorConfig, evaluate_detector, train_detector
from training.evaluate import head_pck, overall, predict, torso_pck
from training.people import count_sources, read_coco
from training.run import RunFolder
from training.store import open_store
from training.train import train as train_network

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
log = logging.getLogger("training")

DataOption = Annotated[
    Path, typer.Option(help="Folder with train.json.gz, val.json.gz and the pictures they name.")
]


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file, see training/configs.")],
    data: DataOption,
    run: Annotated[Path, typer.Option(help="Folder for metrics and checkpoints.")],
    resume: Annotated[bool, typer.Option(help="Go on from the run's last checkpoint.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the weights of this .safetensors network.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train a network; the best averaged weights stand in RUN/best.safetensors."""
    settings = read_config(config)
    folder = RunFolder(run)
    if folder.checkpoint.exists() and not resume:
        raise RtposeError(f"{run}: holds a run already; give --resume or another --run")
    skeleton = SKELETONS[settings.network.skeleton]
    people = read_coco(data / "train.json.gz", skeleton)
    log.info("people to learn from: %s", count_sources(people))
    store = open_store(
        people, data, run.parent / "cache", settings.data.teacher_weight, settings.data.disputed
    )
    val = read_coco(data / "val.json.gz", skeleton)
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(config.read_text())

    def evaluate_average(network: DCHourglass, size: int) -> dict[str, float]:
        engine = EagerEngine(Checkpoint(network, skeleton, size), device)
        scored = predict(val, data, engine, skeleton)
        sources = dict.fromkeys(val.sources)
        each = {s: overall(torso_pck(scored.of_source(s), skeleton)) for s in sources}
        return {"val": sum(each.values()) / len(each), **each}

    def save_best(network: DCHourglass, size: int, scores: dict[str, float]) -> None:
        about = {
            "date": datetime.date.today().isoformat(),
            "data": ", ".join(count_sources(people)),
            "scores": json.dumps({f"PCK@0.2 {k}": round(v, 2) for k, v in scores.items()}),
            "license": "AGPL-3.0-or-later",
        }
        save_checkpoint(run / "best.safetensors", Checkpoint(network, skeleton, size, about=about))

    beginning = load_checkpoint(start).network if start else None
    train_network(settings, store, folder, evaluate_average, save_best, resume, beginning, device)


@app.command()
def evaluate(
    weights: Annotated[Path, typer.Argument(help="A .safetensors pose network.")],
    data: DataOption,
    split: Annotated[str, typer.Option(help="val or lsp_test.")] = "val",
    flip_test: Annotated[bool, typer.Option(help="Average with the mirror image.")] = True,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Score a network on labelled people in their given boxes."""
    checkpoint = load_checkpoint(weights)
    skeleton = checkpoint.skeleton
    people = read_coco(data / f"{split}.json.gz", skeleton)
    scored = predict(people, data, EagerEngine(checkpoint, device, flip_test), skeleton)
    table = Table("source", "score", "people", "left out", "all", *COLUMNS)
    for source in dict.fromkeys(people.sources):
        part = scored.of_source(source)
        results = {
            "PCK@0.2, 12 joints": torso_pck(part, skeleton),
            "PCK@0.2, all joints": torso_pck(part, skeleton, skeleton.joints),
            "PCKh@0.5, all joints": head_pck(part, skeleton),
        }
        for name, result in results.items():
            rates = columns(result, skeleton)
            table.add_row(
                source,
                name,
                str(result.people),
                str(result.left_out),
                f"{overall(result):.2f}",
                *(f"{rates[c]:.1f}" for c in COLUMNS),
            )
    Console().print(table)


@app.command()
def detector(
    start: Annotated[Path, typer.Argument(help="A YOLO11 .pt that knows persons, or ours.")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    size: Annotated[int, typer.Option(help="Longer side of pictures it is made for.")] = 416,
    confidence: Annotated[float, typer.Option(help="Least score it is made for.")] = 0.35,
) -> None:
    """Fine-tune a person detector, and score it on pictures that training never saw."""
    settings = DetectorConfig()
    labels = data / "train.json.gz"
    made = train_detector(start, labels, data, out, settings, size, confidence)
    table = Table("pictures", "AP50", "AP50-95", "precision", "recall")
    for side, scores in evaluate_detector(made, labels, data, settings).items():
        shown = (scores.ap50, scores.ap50_95, scores.precision, scores.recall)
        table.add_row(f"{side} px", *(f"{value:.1f}" for value in shown))
    Console().print(table)


@app.command()
def calibrate(
    weights: Annotated[Path, typer.Argument(help="A .safetensors pose network; rewritten.")],
    data: DataOption,
) -> None:
    """Make a network's scores the chance of being right, as measured on val."""
    checkpoint = load_checkpoint(weights)
    skeleton = checkpoint.skeleton
    people = read_coco(data / "val.json.gz", skeleton)
    scored = predict(people, data, EagerEngine(checkpoint), skeleton)
    scores, right = right_or_wrong(scored, skeleton)
    calibration = fit_calibration(scores, right)
    chances = calibration(torch.from_numpy(scores)).numpy()
    save_checkpoint(weights, replace(checkpoint, calibration=calibration))
    log.info("%s", calibration)
    log.info("expected calibration error %.3f, was %.3f",
             calibration_error(chances, right), calibration_error(scores, right))  # fmt: skip


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        app()
    except RtposeError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
