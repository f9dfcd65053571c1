"""Teach a person detector to answer alike in float and in eight bits, with one set of weights.

Rounding alone would cost AP. Here the detector learns from its own float answers, through the
roundings: no label is needed, and nothing is forgotten of what it finds.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rtpose.letterbox import letterbox_image, plan_letterbox
from rtpose.quantised import QuantisedConv2d, Range, quantise, watch_inputs
from rtpose.targets import check_target
from rtpose.yolo import (
    DISTANCE_BINS,
    PersonNetwork,
    eight_bit_convolutions,
    load_model,
    save_model,
)
from training.average import update_average
from training.detector import (
    LOG_EVERY,
    DetectorConfig,
    LessonConfig,
    rate_share,
    split_pictures,
)
from training.detector_data import LabelledPicture, augmented

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EightBitConfig(LessonConfig):
    """How to teach to answer in eight bits.

    Attributes
    ----------
    measured_on : int
        Pictures from which is taken between what inputs lie.
    """

    steps: int = 200
    measured_on: int = 100


def quantise_detector(
    start: Path,
    labels: Path,
    pictures: Path,
    out: Path,
    split: DetectorConfig,
    config: EightBitConfig,
) -> None:
    """Measure a detector's inputs, teach it, and write it with both.

    Parameters
    ----------
    start, out : Path
        Detectors of ours, to read and to write.
    labels, pictures : Path
        As for `training.detector.train_detector`.
    split : DetectorConfig
        That of the detector's training: what it held back stays held back.
    config : EightBitConfig
    """
    check_target(out, overwrite=True)  # now, for what is taught would be lost
    torch.set_num_threads(config.threads)
    model, info = load_model(start)
    train = split_pictures(labels, pictures, split).train
    ranges = measure_ranges(model, train, info.size, config)
    taught = teach(model, ranges, train, config)
    notes = {**info.notes, "eight bits": str(asdict(config))}
    save_model(taught, replace(info, notes=notes, ranges=ranges), out)


def measure_ranges(
    model: nn.Module, pictures: list[LabelledPicture], size: int, config: EightBitConfig
) -> dict[str, Range]:
    """Between what the inputs of a model's `eight_bit_convolutions` lie, on some pictures.

    From the lowest of all, which the activation bounds, to the mean of the highest.
    """
    random = np.random.default_rng(config.seed)
    network = PersonNetwork(model).eval()
    with watch_inputs(model, eight_bit_convolutions(model)) as seen, torch.inference_mode():
        for picture in random.permutation(np.array(pictures, object))[: config.measured_on]:
            image = picture.read()
            height, width = image.shape[:2]
            plan = plan_letterbox(height, width, size)
            network(torch.from_numpy(letterbox_image(image, plan))[None])
    both = {name: torch.cat(each) for name, each in seen.items()}
    return {
        name: (_rounded(each[:, 0].min()), _rounded(each[:, 1].mean()))
        for name, each in both.items()
    }


def teach(
    model: nn.Module,
    ranges: dict[str, Range],
    pictures: list[LabelledPicture],
    config: EightBitConfig,
) -> nn.Module:
    """Train `model` in place to answer, in float and in eight bits, as it did; gives the average.

    Parameters
    ----------
    model : nn.Module
        One-class, float32.
    ranges : dict of str to (float, float)
        From `measure_ranges`.
    pictures : list of LabelledPicture
        Their labels are not used.
    config : EightBitConfig

    Returns
    -------
    nn.Module
        The weights' moving average.
    """
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    teacher = PersonNetwork(copy.deepcopy(model)).eval().requires_grad_(False)
    model.requires_grad_(True)
    # The distribution's bin numbers are no weights.
    model.get_submodule("model")[-1].dfl.requires_grad_(False)  # type: ignore[index]
    students = [PersonNetwork(quantise(model, ranges)).eval(), PersonNetwork(model).eval()]
    average = copy.deepcopy(model).requires_grad_(False)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: rate_share(i, config.steps))
    began = time.monotonic()
    for step, batch in enumerate(_batches(pictures, random, config), start=1):
        with torch.no_grad():
            wanted = teacher(batch)
        optimizer.zero_grad()
        losses = []
        for student in students:
            loss = distance(student(batch), wanted)
            (loss / len(students)).backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()))
        nn.utils.clip_grad_norm_(weights, 10.0)
        optimizer.step()
        schedule.step()
        for module in students[0].modules():
            if isinstance(module, QuantisedConv2d):
                module.fit_steps()
        update_average(average, model, config.ema, step)
        if step % LOG_EVERY == 0:
            rate = step / (time.monotonic() - began)
            log.info("step %d: int8 %.4f, float %.4f, %.2f steps/s", step, *losses, rate)
    return average


def distance(raw: Tensor, wanted: Tensor) -> Tensor:
    """How far one's answers are from another's: 0 where they are the same.

    The Kullback-Leibler divergence of the scores, and, where the other one sees a person, of the
    four sides' distributions; each over the number of people that it sees, counted by cells.

    Parameters
    ----------
    raw, wanted : (B, 65, A) Tensor
        `PersonNetwork`'s output.
    """
    count, _, cells = raw.shape
    scores = wanted[:, -1].sigmoid()
    unsure = functional.binary_cross_entropy_with_logits
    apart = unsure(raw[:, -1], scores, reduction="none") - unsure(
        wanted[:, -1], scores, reduction="none"
    )
    have, want = (
        each[:, :-1].view(count, 4, DISTANCE_BINS, cells).log_softmax(dim=2)
        for each in (raw, wanted)
    )
    sides = (want.exp() * (want - have)).sum(dim=2).mean(dim=1)
    return (apart.sum() + (sides * scores).sum()) / scores.sum().clamp_min(1.0)


def _batches(
    pictures: list[LabelledPicture], random: np.random.Generator, config: EightBitConfig
) -> Iterator[Tensor]:
    for _ in range(config.steps):
        size = int(random.choice(config.sizes))
        images = [augmented(pictures, size, random, config.mosaic)[0] for _ in range(config.batch)]
        yield torch.from_numpy(np.stack(images))


def _rounded(value: Tensor) -> float:
    return float(f"{float(value):.4g}")
