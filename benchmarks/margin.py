"""How much of the surroundings a crop should show: accuracy by crop margin.

``python -m benchmarks.margin --data PEOPLE`` scores a network on validation people with several
margins, in their labelled boxes and in those of our detector, and writes
``benchmarks/results/margin.md``. `rtpose.geometry.CROP_MARGIN` was chosen so. Nothing is timed.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.record import keep
from rtpose.bench.accuracy import torso_pck
from rtpose.bench.inference import by_picture, match_boxes, predict
from rtpose.checkpoint import load_checkpoint
from rtpose.datasets.find import find_dataset
from rtpose.datasets.people import People
from rtpose.detector import load_detector
from rtpose.engines.eager import EagerEngine
from rtpose.geometry import CROP_MARGIN
from rtpose.pose import FloatArray
from rtpose.shipped import find_weights
from training.data import training_people

MARGINS = (1.05, 1.11, 1.17, 1.25, 1.35)


def widened(boxes: FloatArray, margin: float) -> FloatArray:
    """Boxes (N, 4) about the same middles, whose crops have this margin instead of ours."""
    corners = boxes.reshape(-1, 2, 2)
    middle = corners.mean(axis=1, keepdims=True)
    scaled: FloatArray = (middle + (corners - middle) * (margin / CROP_MARGIN)).reshape(-1, 4)
    return scaled.astype(np.float32)


def found_by_detector(people: People, pictures: Path) -> People:
    """The people our detector finds, with its boxes."""
    detector = load_detector()
    boxes = np.full((len(people), 4), np.nan, np.float32)
    for image, rows in by_picture(people, pictures):
        seen, _ = detector(image)
        owners = match_boxes(people.joints[rows], people.labelled[rows], seen)
        boxes[rows[owners >= 0]] = seen[owners[owners >= 0]]
    found = np.flatnonzero(~np.isnan(boxes[:, 0]))
    return replace(people.take(found), boxes=boxes[found])


def main(
    data: Annotated[Path, typer.Option(help="Folder of a data set.")],
    model: Annotated[str, typer.Option(help="A shipped network's name, or a file.")] = "nano",
) -> None:
    """Score every margin and write the table."""
    checkpoint = load_checkpoint(find_weights(model))
    skeleton = checkpoint.skeleton
    dataset = find_dataset(data)
    _, val = training_people(dataset, skeleton)
    engine = EagerEngine(checkpoint, "cpu")
    sources = list(dict.fromkeys(val.sources))
    lines = [
        "# Accuracy by crop margin",
        "",
        f"Made by `python -m benchmarks.margin` on {datetime.date.today()}: {model}, validation",
        "people, PCK@0.2 without flip test; the margin is the crop's side over the longer side of",
        f"the box. rtpose cuts with {CROP_MARGIN}.",
        "",
        f"| boxes | people | margin | {' | '.join(sources)} | mean |",
        "|---" * (len(sources) + 4) + "|",
    ]
    for name, people in (
        ("labelled", val),
        ("our detector's", found_by_detector(val, dataset.pictures)),
    ):
        for margin in MARGINS:
            asked = replace(people, boxes=widened(people.boxes, margin))
            scored = predict(asked, dataset.pictures, engine, skeleton)
            each = [torso_pck(scored.of_source(source), skeleton).overall for source in sources]
            cells = " | ".join(f"{pck:.2f}" for pck in (*each, float(np.mean(each))))
            lines.append(f"| {name} | {len(people)} | {margin} | {cells} |")
    keep("margin", None, "\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
