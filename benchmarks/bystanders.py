"""What a second person in the picture costs.

``python -m benchmarks.bystanders --data PEOPLE nano small`` scores networks on validation people
who are alone in their pictures, as they are and with a second person put beside them, before or
behind, and writes ``benchmarks/results/bystanders.md``. Nothing is timed.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.record import keep
from rtpose.bench.accuracy import Scored, torso_pck
from rtpose.bench.inference import by_picture, no_detector
from rtpose.checkpoint import load_checkpoint
from rtpose.datasets.find import find_dataset
from rtpose.datasets.people import People
from rtpose.engines.eager import EagerEngine
from rtpose.estimator import Estimator
from rtpose.geometry import crop_squares, cut_crops, to_crops
from rtpose.pose import FloatArray
from rtpose.shipped import find_weights
from rtpose.skeleton import Skeleton
from training.bystanders import add_bystanders, silhouettes
from training.data import training_people
from training.trust import trusted_joints

ALONE = ("lsp_train", "buffy")
"""Sources whose pictures show one person."""

_BATCH = 32


def with_bystanders(crops: Tensor, joints: Tensor, weights: Tensor, skeleton: Skeleton) -> Tensor:
    """Crops (N, 3, S, S) in each of which the next one's person has come by; always the same."""
    places = torch.rand(len(crops), 4, generator=torch.Generator().manual_seed(0))
    return add_bystanders(
        crops,
        silhouettes(joints, weights, skeleton, crops.shape[-1]),
        crops.roll(1, 0),
        joints.roll(1, 0),
        weights.roll(1, 0),
        skeleton,
        places,
    )


def cut_all(people: People, pictures: Path, squares: FloatArray, size: int) -> Tensor:
    """Everybody's crop, (N, 3, size, size) uint8."""
    crops = np.empty((len(people), 3, size, size), np.uint8)
    for image, rows in by_picture(people, pictures):
        crops[rows] = cut_crops(image, squares[rows], size)
    return torch.from_numpy(crops)


def score(estimator: Estimator, crops: Tensor, squares: FloatArray, people: People) -> list[float]:
    """PCK@0.2 of each source of `ALONE`."""
    joints = [
        estimator.read(estimator.predict(part), where)
        for part, where in zip(
            torch.split(crops, _BATCH),
            np.split(squares, range(_BATCH, len(squares), _BATCH)),
            strict=True,
        )
    ]
    scored = Scored(np.concatenate(joints), people)
    return [torso_pck(scored.of_source(name), estimator.skeleton).overall for name in ALONE]


def main(
    models: Annotated[list[str], typer.Argument(help="Shipped networks' names, or files.")],
    data: Annotated[Path, typer.Option(help="Folder of a data set.")],
) -> None:
    """Score every network and write the table."""
    dataset = find_dataset(data)
    lines = [
        "# What a second person in the picture costs",
        "",
        f"Made by `python -m benchmarks.bystanders` on {datetime.date.today()}: validation people,",
        "PCK@0.2 in labelled boxes without flip test. The second person is another of them, cut",
        "out along the skeleton and put beside the first, before or behind; where before, joints",
        "that it hides count all the same.",
        "",
        "| model | picture | " + " | ".join(ALONE) + " |",
        "|---|---|" + "---|" * len(ALONE),
    ]
    for model in models:
        checkpoint = load_checkpoint(find_weights(model))
        skeleton = checkpoint.skeleton
        _, val = training_people(dataset, skeleton)
        people = val.take(np.flatnonzero(np.isin(val.sources, ALONE)))
        squares = crop_squares(people.boxes)
        crops = cut_all(people, dataset.pictures, squares, checkpoint.input_size)
        joints, weights = trusted_joints(people, 1.0, ())
        places = torch.from_numpy(to_crops(joints, squares, checkpoint.input_size))
        seconds = with_bystanders(crops, places, torch.from_numpy(weights), skeleton)
        estimator = Estimator(no_detector, EagerEngine(checkpoint), skeleton)
        for picture, shown in (("alone", crops), ("with a second person", seconds)):
            cells = " | ".join(f"{v:.2f}" for v in score(estimator, shown, squares, people))
            lines.append(f"| {Path(model).stem} | {picture} | {cells} |")
    keep("bystanders", None, "\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
