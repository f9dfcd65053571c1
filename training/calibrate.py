"""Make a joint's score mean something: the chance that the joint is where it is said to be."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch

from rtpose.bench.accuracy import TORSO_THRESHOLD, Scored
from rtpose.bench.inference import predict
from rtpose.checkpoint import RAW_SCORES, Calibration, load_checkpoint, save_checkpoint
from rtpose.datasets.find import find_dataset
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.metrics import torso_reference
from rtpose.network import eight_bit_convolutions
from rtpose.pose import FloatArray
from rtpose.quantised import watch_inputs
from rtpose.skeleton import Skeleton
from training.centre import centre, watch_sums
from training.data import training_people

log = logging.getLogger(__name__)

_TRUST = 5.0
"""Weight of the calibration before: some dozens of joints outvote it."""


def calibrate_weights(weights: Path, data: Path, before: Calibration | None = None) -> None:
    """Measure on labelled people what makes scores chances, and what fewer bits need; keep both.

    Parameters
    ----------
    weights : Path
        A pose network; rewritten, with the same answers.
    data : Path
        Folder of a data set, whose people that training chooses weights by are asked about.
    before : Calibration, optional
        What few people leave as it is; the weights' own without it.

    Raises
    ------
    RtposeError
        If the weights or the data cannot be read, or nobody can be measured.
    """
    checkpoint = load_checkpoint(weights)
    network, skeleton = checkpoint.network, checkpoint.skeleton
    dataset = find_dataset(data)
    _, people = training_people(dataset, skeleton)
    with (
        watch_sums(network) as sums,
        watch_inputs(network, eight_bit_convolutions(network)) as seen,
    ):
        scored = predict(people, dataset.pictures, EagerEngine(checkpoint), skeleton)
    # neither the answers nor what those convolutions are given, batch norm's output, depend on it
    centre(network, sums)
    peaks = {name: float(torch.cat(each)[:, 1].mean()) for name, each in seen.items()}
    scores, right = right_or_wrong(scored, skeleton)
    if not len(scores):
        raise RtposeError(
            f"{data}: nothing to calibrate by: no person has right shoulder and left hip labelled, "
            "by whose distance right and wrong are told apart"
        )
    calibration = fit_calibration(scores, right, before or checkpoint.calibration)
    chances = calibration(torch.from_numpy(scores)).numpy()
    save_checkpoint(weights, replace(checkpoint, calibration=calibration, peaks=peaks))
    log.info("%s", calibration)
    log.info("expected calibration error %.3f, was %.3f",
             calibration_error(chances, right), calibration_error(scores, right))  # fmt: skip


def right_or_wrong(scored: Scored, skeleton: Skeleton) -> tuple[FloatArray, FloatArray]:
    """Raw scores of all labelled joints of people with a torso, and 1 or 0 for right or wrong."""
    people = scored.people
    torso = torso_reference(people.joints, people.labelled, skeleton)
    apart = ((scored.joints[..., :2] - people.joints) ** 2).sum(axis=-1) ** 0.5
    counted = people.labelled & (torso > 0)[:, None]
    right = apart <= TORSO_THRESHOLD * torso[:, None]
    return scored.joints[..., 2][counted], right[counted].astype("float32")


def fit_calibration(
    scores: FloatArray, right: FloatArray, before: Calibration = RAW_SCORES
) -> Calibration:
    """Logistic regression of right or wrong on the logit of the score (Platt, 1999).

    With Platt's targets, which are never quite 0 or 1, and drawn to the calibration before: a few
    people who are all right would else make every joint of everybody certain.

    Parameters
    ----------
    scores : (M,) float32
        Raw scores, 0 to 1.
    right : (M,) float32
        1 where the joint was right, else 0.
    before : Calibration
        What holds as long as little speaks against it.
    """
    raw, truth = torch.from_numpy(scores).double(), torch.from_numpy(right).double()
    good = truth.sum()
    yes, no = (good + 1) / (good + 2), 1 / (len(truth) - good + 2)
    wanted = torch.where(truth > 0, yes, no)
    prior = torch.tensor([before.slope, before.offset], dtype=torch.float64)
    line = prior.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")
    logits = torch.logit(raw, eps=Calibration.EPS)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = (
            torch.nn.functional.binary_cross_entropy_with_logits(
                line[0] * logits + line[1], wanted, reduction="sum"
            )
            + _TRUST * ((line - prior) ** 2).sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    slope, offset = line.detach().tolist()
    return Calibration(slope, offset)


def calibration_error(chances: FloatArray, right: FloatArray) -> float:
    """Mean gap between what was promised and what came true, over tenths of the promise (ECE)."""
    which = (chances * 10).astype(int).clip(0, 9)
    gaps = [
        abs(float(chances[which == b].mean() - right[which == b].mean())) * (which == b).mean()
        for b in range(10)
        if (which == b).any()
    ]
    return float(sum(gaps))
