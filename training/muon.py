"""Muon: momentum whose every matrix is made orthogonal before it is applied.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). PyTorch's own
(`torch.optim.Muon`) takes two-dimensional weights only; a convolution's weight is one matrix of
(outputs, inputs x height x width) here, and weights of one shape are done at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from training.precision import quick_dtype

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz step, from the authors: steepest at 0 that still converges."""

_STEPS = 5
"""Of Newton and Schulz."""

_MATCH_ADAM = 0.2
"""Root mean square of an update per root of the longer side, as AdamW's are (arXiv:2502.16982)."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, about: singular values end up between 0.7 and 1.2.

    Parameters
    ----------
    matrices : (B, M, N) float

    Returns
    -------
    (B, M, N) bfloat16 or float32
        Whichever is quick there.
    """
    a, b, c = _QUINTIC
    x = matrices.to(quick_dtype(matrices.device.type))
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, with decoupled weight decay.

    Parameters
    ----------
    parameters : iterable of Tensor
        Weights of two dimensions or more, the first of them the outputs.
    lr : float
        Of the same order as AdamW's would be, times five.
    momentum : float
        Nesterov's.
    weight_decay : float
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply one update."""
        # each operation for all weights at once: on a GPU a launch for each of hundreds would
        # take as long as a step
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [_as_matrix(weight.grad) for weight in weights]
            for weight, gradient in zip(weights, gradients, strict=True):
                if not self.state[weight]:
                    self.state[weight]["average"] = torch.zeros_like(gradient)
            averages = [self.state[weight]["average"] for weight in weights]
            torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, averages, group["momentum"])
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            alike: dict[torch.Size, list[int]] = defaultdict(list)
            for i, matrix in enumerate(ahead):
                alike[matrix.shape].append(i)
            for shape, those in alike.items():
                updates = orthogonalise(torch.stack([ahead[i] for i in those])).float()
                torch._foreach_add_(
                    [_as_stored(weights[i]) for i in those],
                    [
                        u.view(_as_stored(weights[i]).shape)
                        for i, u in zip(those, updates, strict=True)
                    ],
                    alpha=-group["lr"] * _MATCH_ADAM * max(shape) ** 0.5,
                )


def _as_stored(weight: Tensor) -> Tensor:
    """A weight with its inputs last: a view, as weights that are channels last lie in memory.

    Operations for all weights at once then need no copy of each.
    """
    return weight.movedim(1, -1)


def _as_matrix(weight: Tensor) -> Tensor:
    return _as_stored(weight).reshape(len(weight), -1)
