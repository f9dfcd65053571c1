"""One evaluation: which people, in whose boxes, by which measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from rtpose.bench.accuracy import Score, Scored, check_measurable, score
from rtpose.bench.inference import Found, Variant, predict_found, predict_variants
from rtpose.bench.oks import average_precision, check_pycocotools
from rtpose.bench.predictions import read_predictions
from rtpose.datasets.coco import image_source, read_coco
from rtpose.datasets.find import DataSet, find_dataset
from rtpose.datasets.labels import read_json
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.metrics import TORSO, Comparison
from rtpose.skeleton import COCO17, FLIC11, LSP14, MPII16, Skeleton

GIVEN, DETECTED = "in the labels' boxes", "in our detector's boxes"

_SKELETONS = {
    "MPII Human Pose": MPII16,
    "FLIC": FLIC11,
    "Leeds Sports Poses": LSP14,
    "LSP-Extended": LSP14,
}
FLIC_TORSO = ("left_shoulder", "right_hip")
_USUAL_SPLITS = ("val", "test")


@dataclass(frozen=True)
class Split:
    """A part of a data set.

    Attributes
    ----------
    dataset : DataSet
    name : str
    """

    dataset: DataSet
    name: str

    @property
    def skeleton(self) -> Skeleton:
        """The set's own."""
        return _SKELETONS.get(self.dataset.format, COCO17)

    @property
    def torso(self) -> tuple[str, str]:
        """Ends of the torso: FLIC's released code takes the other diagonal than we."""
        return FLIC_TORSO if self.dataset.format == "FLIC" else TORSO

    def read(self, skeleton: Skeleton) -> tuple[People, list[str]]:
        """The people with joints by hand, and a line on each kind that is left out.

        Raises
        ------
        RtposeError
            If nobody is left.
        """
        people = self.dataset.read(self.name, skeleton)
        known = np.flatnonzero(people.labelled.any(1))
        if not len(known):
            raise RtposeError(f"{self.dataset.pictures}, {self.name}: nobody has labelled joints")
        gone = len(people) - len(known)
        why = [f"{gone} people left out: none of their joints is labelled by hand"] if gone else []
        return people.take(known), [*why, *self.dataset.wanting]


@dataclass(frozen=True)
class Accuracy:
    """What an evaluation found.

    Attributes
    ----------
    people : int
        Evaluated.
    scores : dict of str to list of Score
        By the boxes that the joints were looked for in.
    variants : dict of Variant to list of Score
        The first score of each source, with and without flip test and refinement; empty where
        no network was run.
    precision : dict of str to dict of str to float
        COCO's AP and the like by boxes and source; empty where no source has COCO's joints.
    notes : list of str
        Who was left out and why, and whatever else one must know.
    """

    people: int
    scores: dict[str, list[Score]]
    variants: dict[Variant, list[Score]]
    precision: dict[str, dict[str, float]]
    notes: list[str]


def find_split(data: Path, name: str | None = None, annotations: Path | None = None) -> Split:
    """Tell what to evaluate on.

    Parameters
    ----------
    data : Path
        Folder of a data set.
    name : str, optional
        Which of its splits; None is val, else test.
    annotations : Path, optional
        A COCO-format json instead, whose pictures lie in `data`.

    Raises
    ------
    RtposeError
        If there is no such folder or split, or no labels.
    """
    if annotations is not None:
        if not data.is_dir():
            raise RtposeError(f"{data}: no such folder")
        split = name or annotations.name.partition(".json")[0]
        dataset = DataSet(
            "COCO keypoints", data, {split: partial(read_coco, annotations)}, (), "",
            {split: annotations},
        )  # fmt: skip
        return Split(dataset, split)
    dataset = find_dataset(data)
    if name is None:
        name = next((split for split in _USUAL_SPLITS if split in dataset.splits), None)
    if name is None:
        raise RtposeError(f"{data}: which split? --split {' or --split '.join(dataset.splits)}")
    return Split(dataset, name)


def evaluate(
    split: Split,
    plain: Estimator,
    flipping: Estimator | None = None,
    comparison: Comparison = "<=",
    tell: Callable[[str], None] = lambda line: None,
) -> Accuracy:
    """Score our networks.

    Parameters
    ----------
    split : Split
    plain : Estimator
        Without the flip test, which is tried out here.
    flipping : Estimator, optional
        The same with the flip test, if it is to be judged so.
    comparison : {"<=", "<"}
        Whether an error that equals the threshold is right.
    tell : callable
        Told what is being done.

    Raises
    ------
    RtposeError
        If labels or pictures are missing or broken.
    """
    skeleton = plain.skeleton
    people, notes = split.read(skeleton)
    check_measurable(people, skeleton, split.torso)
    pictures = split.dataset.pictures
    precise, missing = _precise_sources(split, people, skeleton)
    try:
        tell(f"{len(people)} people {GIVEN}")
        variants = predict_variants(people, pictures, plain)
        tell(f"{len(people)} people {DETECTED}")
        # whom we find where nobody is counts against COCO's AP
        empty = unlabelled_pictures(split, people, precise)
        detected, missed, everybody = predict_found(people, pictures, flipping or plain, empty)
    except RtposeError as error:
        if not split.dataset.get:
            raise
        raise RtposeError(f"{error}. Get them: {split.dataset.get}") from None
    given = variants[Variant(flipping is not None, "parabola")]
    if missed:
        notes.append(
            f"{missed} of {len(people)} people the detector did not find: "
            f"all their joints count as wrong {DETECTED}"
        )
    precision = _precision(
        split, people, skeleton, {GIVEN: _as_found(given), DETECTED: everybody}, precise
    )
    return Accuracy(
        people=len(people),
        scores={
            GIVEN: score(given, skeleton, comparison, split.torso),
            DETECTED: score(detected, skeleton, comparison, split.torso),
        },
        variants={
            v: _firsts(score(s, skeleton, comparison, split.torso)) for v, s in variants.items()
        },
        precision=precision,
        notes=notes + missing,
    )


def evaluate_predictions(
    split: Split,
    path: Path,
    skeleton: Skeleton,
    comparison: Comparison = "<=",
    first_pixel: int | None = None,
) -> Accuracy:
    """Score another system's predictions; pictures are not needed.

    Raises
    ------
    RtposeError
        If labels or predictions are missing or do not fit, see `read_predictions`.
    """
    people, notes = split.read(skeleton)
    check_measurable(people, skeleton, split.torso)
    predicted = read_predictions(path, people, skeleton, first_pixel)
    precise, missing = _precise_sources(split, people, skeleton)
    found = {path.name: _as_found(predicted)}
    precision = _precision(split, people, skeleton, found, precise)
    return Accuracy(
        people=len(people),
        scores={path.name: score(predicted, skeleton, comparison, split.torso)},
        variants={},
        precision=precision,
        notes=notes + missing,
    )


def unlabelled_pictures(split: Split, people: People, sources: list[str]) -> list[str]:
    """Pictures of COCO-format labels that show none of the people, of some sources.

    Without those that say that people in them lack a box.
    """
    if not sources:
        return []
    labels = split.dataset.coco[split.name]
    images = {image["file_name"]: image for image in read_json(labels)["images"]}
    # the folder that the set's pictures lie in is not in its labels
    shown = people.pictures[0]
    own = max((name for name in images if f"/{shown}".endswith(f"/{name}")), key=len)
    folder, taken = shown.removesuffix(own), set(people.pictures)
    return [
        folder + name
        for name, image in images.items()
        if folder + name not in taken
        and image_source(image, labels) in sources
        and image.get("boxes_complete", True)
    ]


def _precise_sources(
    split: Split, people: People, skeleton: Skeleton
) -> tuple[list[str], list[str]]:
    """Sources that COCO's measures can be had of, and a note where they cannot."""
    if split.name not in split.dataset.coco or any(
        joint not in skeleton.index for joint in COCO17.joints
    ):
        return [], []
    view = list(skeleton.view(COCO17))
    sources = np.array(people.sources)
    with_all = [s for s in dict.fromkeys(people.sources)
                if people.labelled[sources == s][:, view].any(0).all()]  # fmt: skip
    if not with_all:
        return [], []
    try:
        check_pycocotools()
    except RtposeError as error:
        return [], [str(error)]
    return with_all, []


def _precision(
    split: Split,
    people: People,
    skeleton: Skeleton,
    found: dict[str, Found],
    precise: list[str],
) -> dict[str, dict[str, float]]:
    """COCO's measures by boxes and source."""
    return {
        f"{source}, {boxes}": average_precision(
            split.dataset.coco[split.name], poses, skeleton, source
        )
        for source in precise
        for boxes, poses in found.items()
    }


def _as_found(scored: Scored) -> Found:
    return Found(scored.people.pictures, scored.joints, np.ones(len(scored.people), np.float32))


def _firsts(scores: list[Score]) -> list[Score]:
    """The score that each source is known by."""
    return list({row.source: row for row in reversed(scores)}.values())[::-1]
