"""Whether anybody keeps an id through a cut, just for standing where somebody stood.

``python -m benchmarks.cuts --data PEOPLE [--clips CLIPS]`` makes films of two photographs of
validation people each, gives ids as `benchmarks.identity` does, counts the cuts through which an id
goes on, and the frames of real clips, which have none, that are taken for one. It writes
``benchmarks/results/cuts.md``. Nothing is timed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from benchmarks.identity import Clip, Found, look, replay
from benchmarks.record import keep
from rtpose.bench.inference import by_picture
from rtpose.datasets.find import find_dataset
from rtpose.estimator import Estimator, load_estimator
from rtpose.media.sources import VideoFile
from rtpose.pose import Frame, Image
from rtpose.scene import is_cut, sketch
from rtpose.skeleton import BODY21
from training.data import training_people

FPS, LONG, SIDE = 25, 12, 400
"""Frames a second and in a scene, and pixels of a film's width and height."""


def filled(image: Image) -> Image:
    """The middle of a picture, as large as goes."""
    height, width = image.shape[:2]
    scale = SIDE / min(height, width)
    size = max(SIDE, round(width * scale)), max(SIDE, round(height * scale))
    left, top = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    whole = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(whole[top : top + SIDE, left : left + SIDE], np.uint8)


def film(scenes: tuple[Image, Image], found: tuple[Found, Found]) -> Clip:
    """One picture after the other; what is seen in it is the same in each of its frames."""
    which = [0] * LONG + [1] * LONG

    def frames() -> Iterator[Frame]:
        return (Frame(scenes[s], index, index / FPS) for index, s in enumerate(which))

    return Clip(frames, FPS, {index: found[s] for index, s in enumerate(which)}, {})


def measure(pictures: list[Image], estimator: Estimator) -> dict[str, list[int]]:
    """Cuts, those with an id on both sides, and those after which nobody has one, by tracker."""
    seen = look((Frame(p, i, 0.0) for i, p in enumerate(pictures)), estimator)
    counts: dict[str, list[int]] = {}
    for a in range(0, len(pictures) - 1, 2):
        if not (len(seen[a][2]) and len(seen[a + 1][2])):
            continue
        clip = film((pictures[a], pictures[a + 1]), (seen[a], seen[a + 1]))
        for tracker, given in replay(clip, estimator, 1).items():
            before = set(given[LONG - 1][1])
            after = {i for index in range(LONG, 2 * LONG) for i in given[index][1]}
            row = counts.setdefault(tracker, [0, 0, 0])
            for column, n in enumerate((1, bool(before & after), not given[2 * LONG - 1][1])):
                row[column] += n
    return counts


def false_cuts(path: Path) -> tuple[int, int]:
    """Frames of a clip, and those of them taken for another scene."""
    with VideoFile(path) as file:
        sketches = [sketch(frame.image) for frame in file]
    return len(sketches), sum(is_cut(*pair) for pair in pairwise(sketches))


def main(
    data: Annotated[Path, typer.Option(help="Folder of a data set.")],
    clips: Annotated[Path | None, typer.Option(help="Folder of .mp4 files without cuts.")] = None,
) -> None:
    """Count and write the tables."""
    dataset, estimator = find_dataset(data), load_estimator("nano", confidence=0.1)
    _, val = training_people(dataset, BODY21)
    lines = [
        "# Ids through cuts",
        "",
        f"Made by `python -m benchmarks.cuts` on {datetime.date.today()}. Films of two "
        f"photographs each, {LONG} frames at {FPS} a second, {SIDE} x {SIDE} pixels about their "
        "middles, where somebody is nearly always: as hard as cuts can be. Of Buffy, a film, some "
        "pairs are of one scene, or of one person in the same clothes.",
        "",
        "| photographs | tracker | cuts | an id goes on | nobody has an id in the end |",
        "|---" * 5 + "|",
    ]
    for source in dict.fromkeys(val.sources):
        people = val.take(np.flatnonzero(np.array(val.sources) == source))
        pictures = [filled(image) for image, _ in by_picture(people, dataset.pictures)]
        order = np.random.default_rng(0).permutation(len(pictures))
        for tracker, (cuts, kept, nobody) in measure(
            [pictures[i] for i in order], estimator
        ).items():
            lines.append(f"| {source} | {tracker} | {cuts} | {kept} | {nobody} |")
    if clips:
        lines += ["", "| clip without cuts | frames | taken for one |", "|---|---|---|"]
        lines += [
            "| {} | {} | {} |".format(path.name, *false_cuts(path))
            for path in sorted(clips.glob("*.mp4"))
        ]
    keep("cuts", None, "\n".join([*lines, ""]))


if __name__ == "__main__":
    typer.run(main)
