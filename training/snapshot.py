"""What a run is at a step, as a dictionary that `RunFolder.save` writes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rtpose.errors import RtposeError


def snapshot(
    step: int,
    best: float,
    network: nn.Module,
    average: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
) -> dict[str, Any]:
    """All that `restore` needs. Chance needs nothing: batches are functions of the step."""
    return {
        "step": step,
        "best": best,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
    }


def restore(
    state: dict[str, Any],
    network: nn.Module,
    average: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
) -> tuple[int, float]:
    """Put a snapshot back; the step and the best score so far.

    Raises
    ------
    RtposeError
        If it is of another network.
    """
    try:
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        for optimiser, its_state in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(its_state)
        return int(state["step"]), float(state["best"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise RtposeError(f"the checkpoint is of another network: {error}") from error
