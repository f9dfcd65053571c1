"""What a data set's folder really holds: whom to train on, and what is missing or broken."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rtpose.datasets.find import DataSet, find_dataset
from rtpose.datasets.people import People, count_sources
from rtpose.errors import RtposeError
from rtpose.pictures import read_picture
from rtpose.skeleton import Skeleton

log = logging.getLogger(__name__)

HELD_BACK = 20
"""One in so many pictures chooses the best weights where a set has no validation split."""

MISSING, BROKEN = "missing picture", "broken picture"
OTHER = "picture of another size than labelled"
OUTSIDE = "joint outside its picture"

_TO_JUDGE_BY = ("val", "test")
"""Splits that nobody learns from."""

SHOWN = 5
"""Names shown of each kind of problem."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set; `name` is the picture's, or the split's."""

    kind: str
    name: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Checked:
    """People whose picture can be read, and what is wrong with their set."""

    people: People
    problems: tuple[Problem, ...]


def check_people(people: People, pictures: Path, skeleton: Skeleton) -> Checked:
    """Read every picture once.

    Problems are pictures that are missing, broken or not those that were labelled, whose people
    are left out, and joints outside their picture, which are kept: a few sets label where a cut-off
    hand would be.
    """
    names = tuple(dict.fromkeys(people.pictures))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda name: _size(pictures / name), names)
        sizes = dict(zip(names, track(found, "reading pictures", len(names)), strict=True))
    labelled = {name: people.labelled_size(i) for i, name in enumerate(people.pictures)}
    problems: list[Problem] = []
    good: set[str] = set()
    for name, size in sizes.items():
        expected = labelled[name]
        if size is None:
            problems.append(Problem(BROKEN if (pictures / name).is_file() else MISSING, name))
        elif expected is not None and expected != size:
            detail = "{}x{}, labelled at {}x{}".format(*size, *expected)
            problems.append(Problem(OTHER, name, detail))
        else:
            good.add(name)
    rows = [i for i, name in enumerate(people.pictures) if name in good]
    kept = people.take(np.array(rows, np.int64))
    limits = np.array([sizes[name] for name in kept.pictures], np.float32).reshape(-1, 1, 2)
    out = kept.labelled & ~((kept.joints >= -0.5) & (kept.joints < limits - 0.5)).all(axis=-1)
    for i, k in np.argwhere(out).tolist():
        x, y = kept.joints[i, k]
        detail = f"{skeleton.joints[k]} at {x:.0f}, {y:.0f}"
        problems.append(Problem(OUTSIDE, kept.pictures[i], detail))
    return Checked(kept, tuple(problems))


def training_people(dataset: DataSet, skeleton: Skeleton) -> tuple[People, People]:
    """People to learn from, and people to choose the best weights by.

    The first are the split `train`, or the only split there is. The second are the split `val`;
    in a set without one, the last pictures of the first, which is said on the log: never a test
    split. Of the second, those whose picture cannot be read are left out and named, for they
    would stop a run when it evaluates.

    Raises
    ------
    RtposeError
        If there is nobody to learn from, no split but one to judge by, or nobody to choose by.
    """
    name = "train"
    if len(dataset.splits) == 1:
        (name,) = dataset.splits
        if name in _TO_JUDGE_BY:
            raise RtposeError(
                f"{dataset.pictures}: the only split is {name}, and there is none to learn from; "
                "call the labels train"
            )
    people = dataset.read(name, skeleton)
    if "val" in dataset.splits and name != "val":
        val = dataset.read("val", skeleton)
    else:
        people, val = _hold_back(people)
        log.warning(
            "%s has no val split: %d people in its last pictures choose the best weights",
            dataset.format, len(val),
        )  # fmt: skip
    checked = check_people(val, dataset.pictures, skeleton)
    for line in _lines(p for p in checked.problems if p.kind != OUTSIDE):
        log.warning("val: %s", line)
    if not len(checked.people):
        raise RtposeError(
            f"{dataset.pictures}: none of the pictures of {len(val)} people of the val split "
            f"can be read, e.g. {val.pictures[0]}; get {dataset.get}"
        )
    return people, checked.people


def report(folder: Path, skeleton: Skeleton, console: Console, out: Path | None) -> None:
    """Print what a folder holds, what is missing, and how to get it.

    Parameters
    ----------
    folder : Path
    skeleton : Skeleton
        Whose joints are looked for.
    console : Console
    out : Path, optional
        CSV file to write every problem to; on the console stand a few of each kind.

    Raises
    ------
    RtposeError
        If the folder holds no person to train on.
    """
    dataset = find_dataset(folder)
    console.print(f"{dataset.format}, pictures in {dataset.pictures}", highlight=False)
    splits: dict[str, tuple[People, Checked]] = {}
    problems: list[Problem] = []
    for name, read in dataset.splits.items():
        try:
            people = read(skeleton)
        except RtposeError as error:
            problems.append(Problem("unreadable labels", name, str(error)))
            continue
        splits[name] = people, check_people(people, dataset.pictures, skeleton)
        problems += splits[name][1].problems
    problems += _in_two_splits(splits)
    if splits:
        console.print(_splits_table(splits), _joints_table(splits, skeleton))
    for line in (*dataset.wanting, *_lines(iter(problems))):
        console.print(f"- {line}", markup=False, highlight=False)
    if out is not None:
        _write(problems, out)
        console.print(f"{len(problems)} problems written to {out}", markup=False, highlight=False)
    if not splits:
        raise RtposeError(f"{folder}: nobody to train on: none of its labels can be read")
    total = sum(len(people) for people, _ in splits.values())
    if not any(len(checked.people) for _, checked in splits.values()):
        raise RtposeError(
            f"{folder}: nobody to train on: none of {total} people has a picture that can be "
            f"read; get {dataset.get}"
        )
    if any(p.kind in (MISSING, BROKEN, OTHER) for p in problems):
        console.print(f"To get pictures: {dataset.get}", markup=False, highlight=False)


def _in_two_splits(splits: dict[str, tuple[People, Checked]]) -> list[Problem]:
    """Pictures that a network would train on and be judged by."""
    names = {split: dict.fromkeys(people.pictures) for split, (people, _) in splits.items()}
    return [
        Problem("picture in two splits", picture, f"{one} and {other}")
        for one, other in combinations(names, 2)
        for picture in names[one]
        if picture in names[other]
    ]


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture, read to its end; None where it cannot be."""
    image = read_picture(path)
    return None if image is None else (image.shape[1], image.shape[0])


def _hold_back(people: People) -> tuple[People, People]:
    """Split by picture, the last ones held back: neighbours are often of the same scene."""
    names = tuple(dict.fromkeys(people.pictures))
    back = set(names[-max(len(names) // HELD_BACK, 1) :])
    held: NDArray[np.bool_] = np.array([name in back for name in people.pictures])
    if held.all():
        raise RtposeError(
            f"all of the {len(people)} people are in {names[0]}: nobody is left to choose the "
            "best weights by"
        )
    return people.take(np.flatnonzero(~held)), people.take(np.flatnonzero(held))


def _lines(problems: Iterator[Problem]) -> list[str]:
    """One line a kind of problem: how many, and the first names."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    lines = []
    for kind, some in kinds.items():
        named = "; ".join(f"{p.name}: {p.detail}" if p.detail else p.name for p in some[:SHOWN])
        more = f"; and {len(some) - SHOWN} more" if len(some) > SHOWN else ""
        lines.append(f"{kind}: {len(some)}: {named}{more}")
    return lines


def _splits_table(splits: dict[str, tuple[People, Checked]]) -> Table:
    table = Table("split", "pictures", "people", "usable", "head sizes", "sources")
    for name, (people, checked) in splits.items():
        table.add_row(
            name,
            str(len(set(people.pictures))),
            str(len(people)),
            str(len(checked.people)),
            "no" if people.head_sizes is None else "yes",
            ", ".join(f"{source} {count}" for source, count in count_sources(people).items()),
        )
    return table


def _joints_table(splits: dict[str, tuple[People, Checked]], skeleton: Skeleton) -> Table:
    table = Table("joint", *splits, title="labelled joints")
    for k, joint in enumerate(skeleton.joints):
        counts = [int(people.labelled[:, k].sum()) for people, _ in splits.values()]
        table.add_row(joint, *(str(count) if count else "none" for count in counts))
    return table


def _write(problems: list[Problem], out: Path) -> None:
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("problem", "name", "detail"))
        writer.writerows((p.kind, p.name, p.detail) for p in problems)
