"""Fine-tune a COCO-trained YOLO into a person detector, and measure it on held-back pictures."""

from __future__ import annotations

import copy
import datetime
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from rtpose.datasets.find import find_dataset
from rtpose.detector import Detector, PersonDetector, check_size, load_detector, open_yolo
from rtpose.errors import RtposeError
from rtpose.geometry import box_iou
from rtpose.offline import import_ultralytics
from rtpose.yolo import DetectorInfo, load_model, person_only, save_model, trim_yaml
from training.average import update_average
from training.average_precision import DetectionScores, score_detections
from training.config import OptimiserConfig
from training.detector_data import (
    LabelledPicture,
    add_boxes,
    augmented,
    read_labels,
    split_by_scene,
)
from training.optimisers import learning_rate
from training.precision import mixed_precision

log = logging.getLogger(__name__)

LOG_EVERY = 10
"""Steps between two lines on the log."""

_SCORED_SIZES = (320, 416, 640)
"""Sides of the input, in pixels, that a detector is scored at."""

_SURE = 0.3
"""Least score of a person whom nobody labelled and who is there all the same."""

LOSS_GAINS = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
"""Weights of the box, class and distance losses: ultralytics' defaults (``cfg/default.yaml``)."""


@dataclass(frozen=True, slots=True)
class LessonConfig:
    """How a detector is taught, whatever it learns from.

    Attributes
    ----------
    steps, batch : int
        Optimizer steps and pictures in each.
    learning_rate : float
        Peak, for AdamW: warmed up over a twentieth of the steps, then a cosine down to a hundredth.
    sizes : tuple of int
        Side of the square training pictures, drawn anew each step.
    mosaic : float
        Chance that an example is four pictures in one.
    ema : float
        Decay of the averaged weights, which are what is kept.
    seed : int
        Decides every random draw, and the split.
    threads : int
        CPU threads of torch.
    """

    steps: int = 240
    batch: int = 16
    learning_rate: float = 1e-4
    sizes: tuple[int, ...] = (320, 352, 384, 416)
    mosaic: float = 0.3
    ema: float = 0.98
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True)
class DetectorConfig(LessonConfig):
    """How to fine-tune.

    Attributes
    ----------
    blend : float
        Share of the fine-tuned weights in what is written, the rest being the start's. Halfway
        keeps what the new pictures teach and forgets less of COCO than fine-tuning alone
        (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    held_back, chosen_on : int
        Pictures of the complete sets kept for the final figures, and for choosing the checkpoint.
    choose_every : int
        Steps between two candidates.
    left_out : tuple of str
        Sources not to learn from: sets made for poses, most of whose people have no box.
    """

    blend: float = 0.5
    held_back: int = 300
    chosen_on: int = 120
    choose_every: int = 60
    left_out: tuple[str, ...] = ("buffy", "lsp_train", "lspet", "stanford40", "studio")


@dataclass(frozen=True, slots=True, eq=False)
class DetectorSplit:
    """Pictures to learn from, to choose the checkpoint on, and to report on."""

    train: list[LabelledPicture]
    choose: list[LabelledPicture]
    held_back: list[LabelledPicture]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a detector does on some pictures.

    Attributes
    ----------
    scores : DetectionScores
    false_alarms : int
        People it finds, at its own confidence, in the pictures of nobody.
    """

    scores: DetectionScores
    false_alarms: int


def split_pictures(labels: Path, pictures: Path, config: DetectorConfig) -> DetectorSplit:
    """Split the pictures; only those in which everybody has a box can say how good a detector is.

    Of each source a part of these is held back, a third at most, and of the rest a part is chosen
    on.

    Raises
    ------
    RtposeError
        If the labels cannot be read, or too few pictures say that everybody in them has a box.
    """
    held: list[LabelledPicture] = []
    choose: list[LabelledPicture] = []
    usable = [p for p in read_labels(labels, pictures) if p.source not in config.left_out]
    train = [p for p in usable if not p.complete]
    complete = [p for p in usable if p.complete]
    for source in sorted({p.source for p in complete}):
        of_one = [p for p in complete if p.source == source]
        here = len(of_one)
        for count, kept, seed in (
            (config.held_back, held, config.seed),
            (config.chosen_on, choose, config.seed + 1),
        ):
            wanted = min(round(count * here / len(complete)), len(of_one) // 3)
            rest, back = split_by_scene(of_one, wanted, seed)
            if rest:  # else it is one scene, of a camera that stands still, to be learnt from
                of_one = rest
                kept += back
        train += of_one
    for part, purpose in ((choose, "choose weights by"), (held, "score a detector on")):
        if not any(len(picture.boxes) for picture in part):
            raise RtposeError(
                f"{labels}: nothing to {purpose}: of {len(usable)} pictures {len(complete)} say "
                '"boxes_complete": true; say so of each in which everybody has a box, some dozens '
                "at least and not all of one scene"
            )
    return DetectorSplit(train, choose, held)


def detector_labels(data: Path, split: str) -> Path:
    """The labels of a split that a detector can learn from.

    Raises
    ------
    RtposeError
        If there are none: only COCO's format tells of people without joints.
    """
    dataset = find_dataset(data)
    if split not in dataset.coco:
        raise RtposeError(
            f"{data}: a detector learns from {split}.json (or .json.gz) in COCO's format; here is "
            f"{dataset.format}, {', '.join(dataset.splits)}"
        )
    return dataset.coco[split]


def train_detector(
    start: Path,
    labels: Path,
    pictures: Path,
    out: Path,
    config: DetectorConfig,
    size: int,
    confidence: float,
) -> None:
    """Fine-tune `start` on persons only and write the best checkpoint.

    Parameters
    ----------
    start : Path
        An ultralytics YOLO11 ``.pt`` with a class "person" (a pickle: only load one you trust), or
        a detector of ours.
    labels, pictures : Path
        COCO-format json and the folder its file names are relative to.
    out : Path
        The safetensors file to write; the cut-down start is written beside it as
        ``<name>.start.safetensors``, for comparison.
    config : DetectorConfig
    size, confidence : int, float
        Written into the file as its default input size and score threshold.

    Raises
    ------
    RtposeError
        If `start`, the data, the size or the name cannot be used.
    """
    if out.suffix != ".safetensors":
        raise RtposeError(f"{out}: the name of a detector's file must end in .safetensors")
    check_size(size)
    torch.set_num_threads(config.threads)
    model, yaml = load_start(start)
    split = split_pictures(labels, pictures, config)
    info = DetectorInfo(size, confidence, yaml, _notes(config, split))
    start_file = out.with_suffix(".start.safetensors")
    out.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, info, start_file)
    train = complete_labels(split.train, load_detector(start_file, "cpu", 640, engine="openvino"))
    log.info("%d pictures to learn from, %d to choose on", len(train), len(split.choose))

    best = _ap(model, split.choose, size)
    log.info("start: AP50-95 %.2f on the choosing pictures", best)
    save_model(model, info, out)
    beginning = copy.deepcopy(model)
    for step, average in fine_tune(model, train, config):
        candidate = blend_models(beginning, average, config.blend)
        ap = _ap(candidate, split.choose, size)
        log.info("step %d: AP50-95 %.2f on the choosing pictures", step, ap)
        if ap > best:
            best = ap
            save_model(candidate, info, out)


def evaluate_detector(
    detector: Path, pictures: list[LabelledPicture], precision: str | None
) -> dict[int, Evaluation]:
    """Score a detector at several input sizes.

    Parameters
    ----------
    detector : Path
        Any file `load_detector` takes.
    pictures : list of LabelledPicture
    precision : str or None
        See `load_detector`.

    Raises
    ------
    RtposeError
        If nobody is in them.
    """
    of_nobody = [p for p in pictures if not len(p.boxes)]
    if len(of_nobody) == len(pictures):
        raise RtposeError(f"nobody to find: none of {len(pictures)} pictures has a person's box")
    found = {}
    for size in _SCORED_SIZES:
        network = load_detector(detector, "cpu", size, precision=precision)
        alarms = sum(len(network(picture.read())[0]) for picture in of_nobody)
        found[size] = Evaluation(score_pictures(network, pictures), alarms)
    return found


def record_scores(path: Path, found: dict[int, Evaluation]) -> None:
    """Write held-back scores into a detector file's notes."""
    model, info = load_model(path)
    text = "; ".join(
        f"{size} px: AP50 {each.scores.ap50:.1f}, AP50-95 {each.scores.ap50_95:.1f}"
        for size, each in found.items()
    )
    save_model(model, replace(info, notes={**info.notes, "scores": f"held back: {text}"}), path)


def score_pictures(detector: Detector, pictures: list[LabelledPicture]) -> DetectionScores:
    """Score a detector on pictures, down to a confidence of 0.001 as COCO does."""
    found = [detector(p.read(), confidence=0.001, overlap=0.7) for p in pictures]
    return score_detections([p.boxes for p in pictures], found)


def load_start(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a network to start from: (one-class model, its yaml).

    Raises
    ------
    RtposeError
        If there is no such file, or it is no YOLO11 detector that knows persons.
    """
    if path.suffix == ".safetensors":
        ours, info = load_model(path)
        return ours, info.yaml
    if not path.is_file():
        raise RtposeError(f"{path}: no such file")
    yolo, persons = open_yolo(path)
    yaml = trim_yaml(yolo.model.yaml)
    return person_only(yolo.model, persons[0]), yaml


def complete_labels(pictures: list[LabelledPicture], detector: Detector) -> list[LabelledPicture]:
    """Label the people that incomplete pictures leave out, as `detector` sees them.

    A person without a box teaches "nobody there". The start network, run at its full size, knows
    most of them: what it finds apart from every label (overlap under 0.5) becomes one.
    """
    done = []
    added = 0
    for picture in pictures:
        if not picture.complete:
            boxes, _ = detector(picture.read(), confidence=_SURE)
            apart = box_iou(boxes, picture.boxes).max(axis=1, initial=0) < 0.5
            added += int(apart.sum())
            picture = add_boxes(picture, boxes[apart])
        done.append(picture)
    log.info("%d boxes added to incomplete pictures", added)
    return done


def fine_tune(
    model: nn.Module, pictures: list[LabelledPicture], config: DetectorConfig
) -> Iterator[tuple[int, nn.Module]]:
    """Train `model` in place; yields the step and the averaged model at every choice and the end.

    The averaged model is the same object each time, and goes on changing.
    """
    loss_module = import_ultralytics("ultralytics.utils.loss")
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    model.requires_grad_(True).train()
    # The distribution's bin numbers are no weights.
    model.get_submodule("model")[-1].dfl.requires_grad_(False)  # type: ignore[index]
    model.args = LOSS_GAINS  # type: ignore[assignment]
    criterion = loss_module.v8DetectionLoss(model)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    biases = [p for p in model.parameters() if p.requires_grad and p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 1e-3}, {"params": biases, "weight_decay": 0.0}],
        lr=config.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: rate_share(i, config.steps))
    began = time.monotonic()
    for step in range(1, config.steps + 1):
        size = int(random.choice(config.sizes))
        examples = [augmented(pictures, size, random, config.mosaic) for _ in range(config.batch)]
        with mixed_precision("cpu"):
            predictions = model(stack_pictures([image for image, _ in examples]))
        predictions = {
            key: [m.float() for m in value] if isinstance(value, list) else value.float()
            for key, value in predictions.items()
        }
        loss, _ = criterion(predictions, targets([boxes for _, boxes in examples], size))
        optimizer.zero_grad()
        cast(Tensor, loss).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        update_average(average, model, config.ema, step)
        if step % LOG_EVERY == 0:
            rate = step / (time.monotonic() - began)
            # The loss comes as box, class and distance part, each times the number of pictures.
            shown = " ".join(f"{p:.3f}" for p in (loss.detach() / config.batch).tolist())
            log.info("step %d: losses %s, %.2f steps/s", step, shown, rate)
        if step % config.choose_every == 0 or step == config.steps:
            yield step, average


def blend_models(first: nn.Module, second: nn.Module, share: float) -> nn.Module:
    """Average two models of one shape, `share` (0 to 1) of it being the second."""
    mixed = copy.deepcopy(first)
    with torch.no_grad():
        for kept, other in zip(mixed.parameters(), second.parameters(), strict=True):
            kept.lerp_(other, share)
    return mixed


def rate_share(step: int, steps: int) -> float:
    """Share of the peak learning rate at a step: see `LessonConfig.learning_rate`."""
    shape = OptimiserConfig(rate=1.0, warmup_steps=max(1, steps // 20), final=0.01)
    return learning_rate(shape, step, steps)


def stack_pictures(images: list[Any]) -> Tensor:
    """B pictures (S, S, 3) uint8 BGR to (B, 3, S, S) float RGB, 0 to 1, as YOLO trains."""
    return torch.from_numpy(np.stack(images)[..., ::-1].copy()).permute(0, 3, 1, 2) / 255


def targets(boxes: list[Any], size: int) -> dict[str, Tensor]:
    """Boxes (N, 4) xyxy of each picture, in the form of ultralytics' loss: one flat list."""
    flat = torch.from_numpy(np.concatenate(boxes)) / size
    index = np.concatenate([np.full(len(b), i, np.float32) for i, b in enumerate(boxes)])
    centre, side = (flat[:, :2] + flat[:, 2:]) / 2, flat[:, 2:] - flat[:, :2]
    return {
        "batch_idx": torch.from_numpy(index),
        "cls": torch.zeros(len(flat), 1),
        "bboxes": torch.cat([centre, side], dim=1),
    }


def _ap(model: nn.Module, pictures: list[LabelledPicture], size: int) -> float:
    # in the quickest precision here, which weights are best would depend on the machine
    detector = PersonDetector(copy.deepcopy(model), "cpu", size, precision="fp32")
    return score_pictures(detector, pictures).ap50_95


def _notes(config: DetectorConfig, split: DetectorSplit) -> dict[str, str]:
    sources = sorted({p.source for p in split.train})
    return {
        "licence": "AGPL-3.0-or-later",
        "date": datetime.date.today().isoformat(),
        "classes": "person",
        "data": f"COCO (start weights); {len(split.train)} pictures of {', '.join(sources)}",
        "training": str(asdict(config)),
    }
