"""The moving average of a network's weights, which is what is kept of training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights toward the network's; quickly at first, when they are poor.

    Parameters
    ----------
    average, network : nn.Module
        Of one shape; the first is changed.
    decay : float
        Part of the average that stays, 0 to 1; in the first steps less does.
    step : int
        Number of the step that has been made, from 1.
    """
    decay = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(_tensors(average), _tensors(network), strict=True))
    # all at once: on a GPU a launch for each of hundreds would take as long as a step
    means, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    get_ema_multi_avg_fn(decay)(means, values, step)  # type: ignore[no-untyped-call]
    if counts := [pair for pair in pairs if not pair[0].is_floating_point()]:
        kept, newer = zip(*counts, strict=True)
        torch._foreach_copy_(kept, newer)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    return chain(network.parameters(), network.buffers())
