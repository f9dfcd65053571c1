"""One training run from config to run folder: what train, distill and compare all do."""

from __future__ import annotations

import datetime
import json
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rtpose.bench.accuracy import overall, predict, torso_pck
from rtpose.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rtpose.datasets.find import find_dataset
from rtpose.datasets.people import count_sources
from rtpose.engines.eager import EagerEngine
from rtpose.engines.select import select_engine
from rtpose.errors import RtposeError
from rtpose.network import DCHourglass
from rtpose.pictures import write_picture
from rtpose.skeleton import SKELETONS
from training.batches import crops_reader, stream_batches
from training.config import TrainConfig
from training.curves import draw_curves
from training.data import training_people
from training.live import live_table, log_progress
from training.parallel import ALONE, Processes
from training.run import RunFolder
from training.sheets import batch_sheet, even_rows, predictions_sheet, worst_rows
from training.store import open_store
from training.teacher import Teachers
from training.train import Pace, Progress, train

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
) -> dict[str, float]:
    """Train, and keep in the run folder all that tells how it went.

    The folder gets metrics.csv, scores.csv, a TensorBoard log, curves.png, augmented.jpg (the
    first batch), predictions.jpg and worst.jpg of the validation people, last.pt to go on from,
    best.safetensors to use.

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
        Trained weights to begin with.
    teachers : sequence of Path
        Trained weights to learn from beside the labels.
    teachers_share : float
        Their part of the target, 0 to 1.
    processes : Processes
        Of several, the first alone writes.
    minutes : float
        Stop after so long; resume to go on.

    Returns
    -------
    dict
        The last scores on the validation people.

    Raises
    ------
    RtposeError
        If the folder holds a run already and `resume` is not said, or anything given is missing,
        damaged or does not fit.
    """
    if folder.checkpoint.exists() and not resume:
        raise RtposeError(f"{folder.path}: holds a run already; give --resume or another --run")
    skeleton = SKELETONS[config.network.skeleton]
    beginning = load_checkpoint(start).network if start else None
    guides = load_teachers(teachers, teachers_share, config, processes.device) if teachers else None
    dataset = find_dataset(data)
    pictures = dataset.pictures
    with processes.first_goes_ahead():
        people, val = training_people(dataset, skeleton)
        log.info("people to learn from: %s", count_sources(people))
        cache = folder.path.parent / "cache"
        store = open_store(
            people, pictures, cache, config.data.teacher_weight, config.data.disputed
        )

    def evaluate(network: DCHourglass, size: int) -> dict[str, float]:
        engine = EagerEngine(Checkpoint(network, skeleton, size), processes.device)
        scored = predict(val, pictures, engine, skeleton)
        each = {
            source: overall(torso_pck(scored.of_source(source), skeleton))
            for source in dict.fromkeys(val.sources)
        }
        each = {source: value for source, value in each.items() if not math.isnan(value)}
        if not each:
            raise RtposeError(
                "nobody to choose weights by: no validation person has both right shoulder and "
                "left hip labelled, whose distance PCK is measured in"
            )
        for name, rows in (
            ("predictions", even_rows(scored, _SHOWN)),
            ("worst", worst_rows(scored, skeleton, _SHOWN)),
        ):
            sheet = predictions_sheet(scored, pictures, skeleton, rows)
            write_picture(folder.path / f"{name}.jpg", sheet)
        return {"val": sum(each.values()) / len(each), **each}

    def save_best(network: DCHourglass, size: int, scores: dict[str, float]) -> None:
        about = {
            "date": datetime.date.today().isoformat(),
            "data": ", ".join(count_sources(people)),
            "scores": json.dumps({f"PCK@0.2 {k}": round(v, 2) for k, v in scores.items()}),
            "license": "AGPL-3.0-or-later",
        }
        save_checkpoint(folder.best, Checkpoint(network, skeleton, size, about=about))

    folder.path.mkdir(parents=True, exist_ok=True)
    if processes.first:
        reader = crops_reader(store, "cpu")
        shown = next(stream_batches(store, reader, skeleton, config, 0, config.phases[0].size))
        write_picture(folder.path / "augmented.jpg", batch_sheet(shown, skeleton))
    with ExitStack() as stack:
        show: Callable[[Progress], None] = log_progress
        if processes.first:
            show = stack.enter_context(live_table(folder.path.name))

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
        return train(
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
        )


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
    return Teachers([select_engine("auto", c, device).engine for c in checkpoints], share)
