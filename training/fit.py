"""One training run from config to run folder: what train, distill and compare all do."""

from __future__ import annotations

import datetime
import difflib
import hashlib
import json
import logging
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from rtpose.bench.accuracy import as_labelled, torso_pck
from rtpose.bench.inference import predict
from rtpose.checkpoint import RAW_SCORES, Checkpoint, load_checkpoint, save_checkpoint
from rtpose.datasets.find import find_dataset
from rtpose.datasets.people import People, count_sources
from rtpose.engines.eager import EagerEngine
from rtpose.engines.select import select_engine
from rtpose.errors import RtposeError
from rtpose.network import DCHourglass
from rtpose.pictures import write_picture
from rtpose.skeleton import Skeleton
from training.batches import crops_reader, draw_chances, stream_batches
from training.config import DataConfig, TrainConfig
from training.curves import draw_curves
from training.data import training_people
from training.interrupt import noted_interrupt
from training.live import live_table, log_progress
from training.on_gpu import RecordedEngine
from training.parallel import ALONE, Processes
from training.run import RunFolder
from training.sheets import batch_sheet, even_rows, predictions_sheet, worst_rows
from training.shrink import shrink
from training.store import open_store
from training.teacher import Teachers
from training.train import Pace, Progress, network_shape, train

log = logging.getLogger(__name__)

_SHOWN = 32
"""People on a sheet of predictions."""


def fit(
    config: TrainConfig,
    data: Path,
    folder: RunFolder,
    resume: bool,
    start: Path | None = None,
    teachers: Sequence[Path] = (),
    teachers_share: float = 0.5,
    processes: Processes = ALONE,
    minutes: float = math.inf,
) -> None:
    """Train, and keep in the run folder all that tells how it went.

    The folder gets config.yaml, metrics.csv, scores.csv, a TensorBoard log, curves.png,
    augmented.jpg (the first batch), predictions.jpg and worst.jpg of the validation people, last.pt
    to go on from, best.safetensors to use.

    Parameters
    ----------
    config : TrainConfig
    data : Path
        Folder of a data set in any format that `rtpose.datasets.find` knows.
    folder : RunFolder
        Made if it is not there.
    resume : bool
        Go on from the folder's checkpoint.
    start : Path, optional
        Trained weights to begin with; best.safetensors holds them until others score better.
    teachers : sequence of Path
        Trained weights to learn from beside the labels.
    teachers_share : float
        Their part of the target, 0 to 1.
    processes : Processes
        Of several, the first alone writes.
    minutes : float
        Stop after so long; resume to go on.

    Raises
    ------
    RtposeError
        If the folder holds a run already and `resume` is not said, or one of another config, data
        or teacher, or anything given is missing, damaged or does not fit.
    """
    if folder.checkpoint.exists() and not resume:
        raise RtposeError(f"{folder.path}: holds a run already; give --resume or another --run")
    if resume and not folder.checkpoint.exists():
        raise RtposeError(f"{folder.checkpoint}: nothing to resume from")
    if resume:
        folder.check_config(config)
    _, skeleton = network_shape(config)  # first, so that a wrong size does not wait for pictures
    beginning = load_checkpoint(start) if start else None
    guides = load_teachers(teachers, teachers_share, config, processes.device) if teachers else None
    dataset = find_dataset(data)
    pictures = dataset.pictures
    with processes.first_goes_ahead():
        people, val = training_people(dataset, skeleton)
        log.info("people to learn from: %s", count_sources(people))
        check_sources(config.data, people)
        measured = measured_sources(val, skeleton)
        cache = folder.path.parent / "cache"
        store = open_store(
            people, pictures, cache, config.data.teacher_weight, config.data.disputed
        )

    def evaluate(network: DCHourglass, size: int) -> dict[str, float]:
        engine = EagerEngine(Checkpoint(network, skeleton, size), processes.device)
        scored = predict(val, pictures, engine, skeleton)
        each = {
            source: torso_pck(scored.of_source(source), skeleton).overall for source in measured
        }
        for name, rows in (
            ("predictions", even_rows(scored, _SHOWN)),
            ("worst", worst_rows(scored, skeleton, _SHOWN)),
        ):
            sheet = predictions_sheet(scored, pictures, skeleton, rows)
            write_picture(folder.path / f"{name}.jpg", sheet)
        return {"val": sum(each.values()) / len(each), **each}

    def save_best(network: DCHourglass, size: int, scores: dict[str, float]) -> None:
        about = {
            "scores": json.dumps({f"PCK@0.2 {k}": round(v, 2) for k, v in scores.items()}),
        }
        shrink(network)  # half precision, in which it is written, may not hold it as it is
        if beginning and network is beginning.network:  # which did not learn from these people
            made = replace(beginning, about=beginning.about | about)
        else:
            about |= {
                "date": datetime.date.today().isoformat(),
                "data": ", ".join(count_sources(people)),
                "license": "AGPL-3.0-or-later",
            }
            known = beginning.calibration if beginning else RAW_SCORES
            made = Checkpoint(network, skeleton, size, known, about)
        save_checkpoint(folder.best, made)

    given = {
        "--data": fingerprint(people, val),
        "--teacher": [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in teachers],
        "--share": teachers_share if teachers else None,
    }
    if resume:
        folder.check_given(given)
    if processes.first:
        if not resume:
            folder.keep_config(config)
            folder.keep_given(given)
        reader = crops_reader(store, "cpu")
        shown = next(stream_batches(store, reader, skeleton, config, 0, config.phases[0].size))
        write_picture(folder.path / "augmented.jpg", batch_sheet(shown, skeleton))
    with ExitStack() as stack:
        show = (
            stack.enter_context(live_table(folder.path.name)) if processes.first else log_progress
        )

        def report(progress: Progress) -> None:
            folder.log(
                {
                    "step": progress.step,
                    "size": progress.size,
                    "loss": progress.loss,
                    "rate": progress.rate,
                    "speed": progress.images_per_s,
                }
            )
            draw_curves(folder, folder.path / "curves.png")
            show(progress)

        pace = Pace(stop_s=minutes * 60)
        interrupted = stack.enter_context(noted_interrupt())
        train(
            config,
            store,
            folder,
            evaluate,
            save_best,
            resume,
            beginning,
            guides,
            processes,
            pace,
            report,
            interrupted,
        )
    if processes.first and folder.metrics.exists():  # the last scores come after the last report
        draw_curves(folder, folder.path / "curves.png")
    if processes.first and not folder.best.exists():
        log.warning(
            "stopped before the first evaluation: there is no %s yet; --resume goes on",
            folder.best,
        )
    elif processes.first and folder.best_step() == 0:
        log.warning(
            "%s holds the weights it began with: none that were scored since are better",
            folder.best,
        )
    if interrupted():
        raise KeyboardInterrupt  # after all was saved; who called must not go on


def fingerprint(*people: People) -> str:
    """What changes with whom a run learns from or is judged by."""
    key = hashlib.sha256()
    for those in people:
        key.update(json.dumps(those.pictures).encode())
        key.update(json.dumps(those.sources).encode())
        for values in (those.boxes, those.joints, those.labelled, those.teacher):
            key.update(values.tobytes())
    return key.hexdigest()[:16]


def check_sources(config: DataConfig, people: People) -> None:
    """Warn of sources that a config names and that nobody is of; their settings do nothing.

    Raises
    ------
    RtposeError
        If nobody is left to be drawn.
    """
    here = list(dict.fromkeys(people.sources))
    for name in dict.fromkeys((*config.source_weights, *config.disputed)):
        if name not in here:
            near = difflib.get_close_matches(name, here, n=1, cutoff=0.0)[0]
            log.warning("the config's data: nobody to learn from is of %r; nearest: %r", name, near)
    if not draw_chances(people.sources, config.source_weights).any():
        raise RtposeError(
            "the config's data: source_weights: all of the people's sources "
            f"({', '.join(here)}) weigh 0"
        )


def measured_sources(people: People, skeleton: Skeleton) -> list[str]:
    """Sources of which somebody has what PCK counts and is measured in.

    Raises
    ------
    RtposeError
        If there is none.
    """
    perfect = as_labelled(people)
    counted = [
        source
        for source in dict.fromkeys(people.sources)
        if not math.isnan(torso_pck(perfect.of_source(source), skeleton).overall)
    ]
    if not counted:
        raise RtposeError(
            "nobody to choose weights by: no validation person has both right shoulder and "
            "left hip labelled, whose distance PCK is measured in"
        )
    return counted


def load_teachers(
    paths: Sequence[Path], share: float, config: TrainConfig, device: str
) -> Teachers:
    """Trained networks as teachers of the config's.

    Raises
    ------
    RtposeError
        If one cannot be read, has other joints, or the config's loss knows no probabilities.
    """
    if config.loss != "cross_entropy":
        raise RtposeError("a teacher's heatmaps are probabilities: set loss: cross_entropy")
    checkpoints = [load_checkpoint(path) for path in paths]
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        if checkpoint.skeleton.name != config.network.skeleton:
            raise RtposeError(
                f"{path}: the teacher's joints are {checkpoint.skeleton.name}, "
                f"the config's {config.network.skeleton}"
            )
    if torch.device(device).type == "cuda":
        return Teachers([RecordedEngine(c, config.batch, device) for c in checkpoints], share)
    return Teachers([select_engine("auto", c, device).engine for c in checkpoints], share)
