"""What scores promise of joints that two people claim, and whether it is kept.

``python -m benchmarks.claims --data PEOPLE`` places the joints of all people in labelled pictures
with several, as if each were alone and as `rtpose.claims` settles it, and writes
``benchmarks/results/claims.md``. Nothing is timed.
"""

from __future__ import annotations

import datetime
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.record import keep
from rtpose.bench.accuracy import Scored
from rtpose.bench.inference import by_picture, no_detector
from rtpose.checkpoint import load_checkpoint
from rtpose.claims import rivals_apart, settle_claims
from rtpose.commands.options import Settings
from rtpose.datasets.find import find_dataset
from rtpose.datasets.people import People
from rtpose.engines.eager import EagerEngine
from rtpose.estimator import Estimator
from rtpose.geometry import crop_squares
from rtpose.pose import FloatArray
from rtpose.shipped import find_weights
from training.calibrate import right_or_wrong

SPLITS = ("train", "val")
"""Those of val are too few to say much; the network has learned from the others' labels."""

EDGES = (0.0, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, np.inf)
"""Between which the distance to the nearest rival lies, in sides of the smaller crop."""

DRAWN = Settings.min_joint
"""Least score of a joint that `rtpose` draws."""


def of_several(people: People) -> People:
    """Those who are not alone in their pictures."""
    count = Counter(people.pictures)
    return people.take(np.flatnonzero([count[name] > 1 for name in people.pictures]))


def nearest_rival(joints: FloatArray, squares: FloatArray) -> FloatArray:
    """Distance (N, K) of each joint (N, K, 3) to the nearest of the same kind, in crops' sides."""
    nearest: FloatArray = rivals_apart(joints, squares).min(axis=0)
    return nearest


def row(name: str, before: FloatArray, after: FloatArray, right: FloatArray) -> str:
    """A line of the table: how many, what was promised and what came true."""
    drawn = [int(((p >= DRAWN) & (right == r)).sum()) for r in (1, 0) for p in (before, after)]
    promises = " | ".join(f"{100 * p.mean():.1f}" for p in (before, after, right))
    losses = " | ".join(f"{log_loss(p, right):.4f}" for p in (before, after))
    return (
        f"| {name} | {len(right)} | {promises} | {losses} | " + " | ".join(map(str, drawn)) + " |"
    )


def log_loss(chances: FloatArray, right: FloatArray) -> float:
    """Mean of minus the logarithm of what was promised for what came true."""
    chances = chances.clip(1e-4, 1 - 1e-4)
    return float(-np.log(np.where(right == 1, chances, 1 - chances)).mean())


def compare(people: People, pictures: Path, estimator: Estimator) -> FloatArray:
    """For each labelled joint, (M, 4): score alone, settled, right or wrong, distance of the rival.

    Parameters
    ----------
    people : People
    pictures : Path
        Folder that their pictures are named from.
    estimator : Estimator
    """
    alone = np.empty((*people.labelled.shape, 3), np.float32)
    settled, rivals = alone.copy(), alone.copy()
    for image, rows in by_picture(people, pictures):
        squares = crop_squares(people.boxes[rows])
        found = estimator.place_joints(image, people.boxes[rows])
        alone[rows], settled[rows] = found, settle_claims(found, squares)
        rivals[rows] = np.dstack([found[..., :2], nearest_rival(found, squares)])
    scores, right = right_or_wrong(Scored(alone, people), estimator.skeleton)
    others, nearest = (
        right_or_wrong(Scored(joints, people), estimator.skeleton)[0]
        for joints in (settled, rivals)
    )
    return np.stack([scores, others, right, nearest], axis=1)


def main(
    data: Annotated[Path, typer.Option(help="Folder of a data set with several people a picture.")],
    model: Annotated[str, typer.Option(help="A shipped network's name, or a file.")] = "nano",
) -> None:
    """Compare promises and outcomes by the distance to the rival, and write the table."""
    dataset, checkpoint = find_dataset(data), load_checkpoint(find_weights(model))
    skeleton = checkpoint.skeleton
    estimator = Estimator(no_detector, EagerEngine(checkpoint), skeleton, checkpoint.calibration)
    lines = [
        "# Joints that two people claim",
        "",
        f"Made by `python -m benchmarks.claims` on {datetime.date.today()}: {model}, people in",
        "labelled boxes who are not alone in their picture, without flip test. Right is what lies",
        "within 0.2 torso lengths of the label. The rival's distance is in sides of the smaller",
        "crop; settled is what `rtpose.claims` makes of the scores, drawn are those from",
        f"{DRAWN} on. Log loss is that of all promises. The network has learned from train.",
        "",
        "| split | nearest rival | joints | mean score | settled | right, % | log loss | settled "
        "| right ones drawn | settled | wrong ones drawn | settled |",
        "|---" * 12 + "|",
    ]
    for split in SPLITS:
        people = of_several(dataset.read(split, skeleton))
        joints = compare(people, dataset.pictures, estimator)
        for low, high in pairwise(EDGES):
            part = joints[(joints[:, 3] >= low) & (joints[:, 3] < high)]
            if len(part):
                name = f"under {high:.3f}" if np.isfinite(high) else "farther"
                lines.append(row(f"{split} | {name}", *part[:, :3].T))
        lines.append(row(f"{split} | any", *joints[:, :3].T))
    keep("claims", None, "\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
