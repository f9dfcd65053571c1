"""``python -m training``: train and evaluate networks."""

from __future__ import annotations

import logging
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from rtpose.bench.accuracy import check_measurable, score
from rtpose.bench.evaluation import Split
from rtpose.bench.inference import predict
from rtpose.bench.report import score_tables
from rtpose.checkpoint import RAW_SCORES, load_checkpoint, save_checkpoint
from rtpose.commands.terminal import run_in_one_line
from rtpose.datasets.find import find_dataset
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.gpu import select_device
from rtpose.skeleton import BODY21
from training.calibrate import calibrate_weights
from training.compare import VARIANTS
from training.compare import compare as run_comparison
from training.compare_tables import markdown, write_results
from training.config import read_config
from training.cut import cut as cut_network
from training.data import report
from training.detector import (
    DetectorConfig,
    Evaluation,
    detector_labels,
    evaluate_detector,
    record_scores,
    split_pictures,
    train_detector,
)
from training.detector_data import read_labels
from training.eight_bits import EightBitConfig, quantise_detector
from training.fit import fit
from training.grow import grow as grow_network
from training.parallel import Processes, join_processes
from training.run import RunFolder

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
log = logging.getLogger("training")

DataOption = Annotated[
    Path, typer.Option(help="Folder of a data set: COCO-format json, MPII, FLIC or LSP.")
]

BoxesOption = Annotated[
    Path,
    typer.Option(
        help="Folder with COCO-format train.json whose images say, of some, boxes_complete: true."
    ),
]

ConfigArgument = Annotated[Path, typer.Argument(help="YAML file, see training/configs.")]
RunOption = Annotated[Path, typer.Option(help="Folder for metrics and checkpoints.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
DeviceOption = Annotated[str, typer.Option(help="cpu or cuda.")]
MinutesOption = Annotated[
    float, typer.Option(min=0, help="Stop after so many minutes; --resume goes on.")
]


@app.command()
def train(
    config: ConfigArgument,
    data: DataOption,
    run: RunOption,
    resume: ResumeOption = False,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the weights of this .safetensors network.")
    ] = None,
    device: DeviceOption = "cpu",
    minutes: MinutesOption = math.inf,
) -> None:
    """Train a network; the best averaged weights stand in RUN/best.safetensors, calibrated."""
    folder = RunFolder(run)
    with join_processes(device) as processes:
        settings = read_config(config)
        fit(settings, data, folder, resume, start, processes=processes, minutes=minutes)
        _make_ready(folder, data, start, processes)


@app.command()
def distill(
    config: ConfigArgument,
    data: DataOption,
    run: RunOption,
    teacher: Annotated[
        list[Path],
        typer.Option(help="A trained network to learn from; give it again for several."),
    ],
    start: Annotated[
        Path, typer.Option(help="The student's own trained weights: from scratch it gains nothing.")
    ],
    share: Annotated[
        float, typer.Option(min=0, max=1, help="The teachers' part of the target.")
    ] = 0.5,
    resume: ResumeOption = False,
    device: DeviceOption = "cpu",
    minutes: MinutesOption = math.inf,
) -> None:
    """Train a network on labels and on other networks' heatmaps."""
    folder = RunFolder(run)
    with join_processes(device) as processes:
        settings = read_config(config)
        fit(settings, data, folder, resume, start, teacher, share, processes, minutes)
        _make_ready(folder, data, start, processes)


def _make_ready(folder: RunFolder, data: Path, start: Path | None, processes: Processes) -> None:
    """Calibrate what a run gave: as it is, its scores are no chances, and it has no 8 bits."""
    if processes.first and folder.best.exists():
        # not drawn to what it has: a run that was stopped often was calibrated as often, by the
        # same people, and each time would count as others
        before = load_checkpoint(start).calibration if start else RAW_SCORES
        calibrate_weights(folder.best, data, before)


@app.command()
def grow(
    weights: Annotated[Path, typer.Argument(help="A trained .safetensors pose network.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    stacks: Annotated[int, typer.Option(help="Hourglasses of the new network.")],
    channels: Annotated[int, typer.Option(help="Channels of the new network.")],
) -> None:
    """Make a bigger network that answers the same, for train --start to begin with."""
    checkpoint = load_checkpoint(weights)
    grown = grow_network(checkpoint.network, stacks, channels)
    save_checkpoint(out, replace(checkpoint, network=grown, peaks={}))


@app.command()
def cut(
    weights: Annotated[Path, typer.Argument(help="A trained .safetensors pose network.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    stacks: Annotated[int, typer.Option(help="Hourglasses to keep, from the first on.")],
) -> None:
    """Make a shorter network out of a trained one, for train or distill --start to begin with."""
    checkpoint = load_checkpoint(weights)
    made = cut_network(checkpoint.network, stacks)
    # how sure its last head was, and how good, is not what an earlier one is
    about = {name: text for name, text in checkpoint.about.items() if name != "scores"}
    short = replace(checkpoint, network=made, calibration=RAW_SCORES, about=about, peaks={})
    save_checkpoint(out, short)


@app.command()
def compare(
    config: ConfigArgument,
    data: DataOption,
    run: RunOption,
    variants: Annotated[
        str, typer.Option(help="Comma-separated: " + ", ".join(VARIANTS) + ".")
    ] = ",".join(VARIANTS),
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = "0,1",
    splits: Annotated[str, typer.Option(help="Comma-separated.")] = "lsp_test,val",
    device: DeviceOption = "cpu",
) -> None:
    """The paper's table: chain against dense against pruned; RUN/compare.md. Resumes by itself."""
    device = select_device(device)
    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise RtposeError(f"--seeds {seeds}: give whole numbers, as in 0,1,2") from None
    results = run_comparison(
        read_config(config), data, run, variants.split(","), numbers, splits.split(","), device
    )
    write_results(results, run)
    Console().print(Markdown(markdown(results)))


@app.command("data")
def tell_data(
    folder: Annotated[Path, typer.Argument(help="COCO-format json, MPII, FLIC or LSP.")],
    problems: Annotated[
        Path | None, typer.Option(help="Write every problem found to this CSV file.")
    ] = None,
) -> None:
    """Tell what a data set holds, what is missing or broken, and how to get it."""
    report(folder, BODY21, Console(), problems)


@app.command()
def evaluate(
    weights: Annotated[Path, typer.Argument(help="A .safetensors pose network.")],
    data: DataOption,
    split: Annotated[str, typer.Option(help="Which of the data set's splits.")] = "val",
    flip_test: Annotated[bool, typer.Option(help="Average with the mirror image.")] = True,
    device: DeviceOption = "cpu",
) -> None:
    """Score a network on labelled people in their given boxes."""
    device = select_device(device)
    checkpoint = load_checkpoint(weights)
    skeleton = checkpoint.skeleton
    dataset = find_dataset(data)
    people = dataset.read(split, skeleton)
    torso = Split(dataset, split).torso
    check_measurable(people, skeleton, torso)
    engine = EagerEngine(checkpoint, device, flip_test)
    scored = predict(people, dataset.pictures, engine, skeleton)
    for table in score_tables(score(scored, skeleton, torso=torso), f"{split}, labels' boxes"):
        Console().print(table)


@app.command()
def detector(
    start: Annotated[Path, typer.Argument(help="A YOLO11 .pt that knows persons, or ours.")],
    data: BoxesOption,
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    size: Annotated[int, typer.Option(help="Longer side of pictures it is made for.")] = 416,
    confidence: Annotated[float, typer.Option(help="Least score it is made for.")] = 0.35,
) -> None:
    """Fine-tune a person detector, and score it on pictures that training never saw."""
    labels = detector_labels(data, "train")
    train_detector(start, labels, data, out, DetectorConfig(), size, confidence)
    _report_detector(out, data)


@app.command()
def quantise(
    start: Annotated[Path, typer.Argument(help="A person detector of ours.")],
    data: BoxesOption,
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
) -> None:
    """Teach a person detector to answer in eight bits as in float, and score it."""
    labels = detector_labels(data, "train")
    quantise_detector(start, labels, data, out, DetectorConfig(), EightBitConfig())
    _report_detector(out, data)


@app.command()
def score_detector(
    weights: Annotated[Path, typer.Argument(help="A YOLO11 .pt that knows persons, or ours.")],
    data: BoxesOption,
    precision: Annotated[
        str | None, typer.Option(help="fp32, int8, bf16 or int8+bf16; the quickest without it.")
    ] = None,
    coco: Annotated[
        bool, typer.Option("--coco", help="On the pictures of val, where some have no box.")
    ] = False,
) -> None:
    """Score a person detector on the pictures that its training holds back."""
    if coco:
        left_out = DetectorConfig().left_out
        everything = read_labels(detector_labels(data, "val"), data)
        pictures = [p for p in everything if p.source not in left_out]
    else:
        labels = detector_labels(data, "train")
        pictures = split_pictures(labels, data, DetectorConfig()).held_back
    _print_detector(evaluate_detector(weights, pictures, precision))


def _report_detector(path: Path, data: Path) -> None:
    labels = detector_labels(data, "train")
    held_back = split_pictures(labels, data, DetectorConfig()).held_back
    found = evaluate_detector(path, held_back, "fp32")
    record_scores(path, found)
    _print_detector(found)


def _print_detector(found: dict[int, Evaluation]) -> None:
    table = Table("pictures", "AP50", "AP50-95", "precision", "recall", "false alarms")
    for side, each in found.items():
        s = each.scores
        shown = (f"{value:.1f}" for value in (s.ap50, s.ap50_95, s.precision, s.recall))
        table.add_row(f"{side} px", *shown, str(each.false_alarms))
    Console().print(table)


@app.command()
def calibrate(
    weights: Annotated[Path, typer.Argument(help="A .safetensors pose network; rewritten.")],
    data: DataOption,
) -> None:
    """Measure what makes a network's scores chances, and what fewer bits need of it.

    On the people that training chooses weights by: val, or what it holds back where there is none.
    """
    calibrate_weights(weights, data)


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    run_in_one_line(app, "set a smaller batch in the config")


if __name__ == "__main__":
    main()
