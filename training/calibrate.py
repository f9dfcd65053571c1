"""Make a joint's score mean something: the chance that the joint is where it is said to be."""

from __future__ import annotations

import torch

from rtpose.bench.accuracy import TORSO_THRESHOLD, Scored
from rtpose.checkpoint import Calibration
from rtpose.metrics import torso_reference
from rtpose.pose import FloatArray
from rtpose.skeleton import Skeleton


def right_or_wrong(scored: Scored, skeleton: Skeleton) -> tuple[FloatArray, FloatArray]:
    """Raw scores of all labelled joints of people with a torso, and 1 or 0 for right or wrong."""
    people = scored.people
    torso = torso_reference(people.joints, people.labelled, skeleton)
    apart = ((scored.joints[..., :2] - people.joints) ** 2).sum(axis=-1) ** 0.5
    counted = people.labelled & (torso > 0)[:, None]
    right = apart <= TORSO_THRESHOLD * torso[:, None]
    return scored.joints[..., 2][counted], right[counted].astype("float32")


def fit_calibration(scores: FloatArray, right: FloatArray) -> Calibration:
    """Logistic regression of right or wrong on the logit of the score (Platt, 1999).

    Parameters
    ----------
    scores : (M,) float32
        Raw scores, 0 to 1.
    right : (M,) float32
        1 where the joint was right, else 0.
    """
    raw, truth = torch.from_numpy(scores).double(), torch.from_numpy(right).double()
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")
    logits = torch.logit(raw, eps=Calibration.EPS)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(
            line[0] * logits + line[1], truth
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    slope, offset = line.detach().tolist()
    return Calibration(slope, offset)


def calibration_error(chances: FloatArray, right: FloatArray, bins: int = 10) -> float:
    """Mean gap between what was promised and what came true, over bins of the promise (ECE)."""
    which = (chances * bins).astype(int).clip(0, bins - 1)
    gaps = [
        abs(float(chances[which == b].mean() - right[which == b].mean())) * (which == b).mean()
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps))
