"""What moves the weights, and how fast at each step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from rtpose.network import DCHourglass
from training.config import OptimiserConfig
from training.muon import Muon


def learning_rate(optimiser: OptimiserConfig, step: int, steps: int) -> float:
    """Linear warm-up, then the config's schedule: a cosine, or steps down.

    Parameters
    ----------
    optimiser : OptimiserConfig
    step, steps : int
        Steps done, and in all.
    """
    if step < optimiser.warmup_steps:
        return optimiser.rate * (step + 1) / optimiser.warmup_steps
    if optimiser.schedule == "steps":
        passed = sum(step >= drop * steps for drop in optimiser.drops)
        return optimiser.rate * optimiser.factor**passed
    done = (step - optimiser.warmup_steps) / max(steps - optimiser.warmup_steps, 1)
    wave = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return optimiser.rate * (optimiser.final + (1 - optimiser.final) * wave)


def make_optimisers(network: DCHourglass, config: OptimiserConfig) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon for the hidden convolutions and AdamW for the rest.

    Biases and normalisation are not decayed.
    """
    hidden: list[nn.Parameter] = []
    if config.name == "muon":
        ends = {id(p) for m in (network.stem[0], *network.heads) for p in m.parameters()}
        hidden = [p for p in network.parameters() if p.ndim > 1 and id(p) not in ends]
    taken = {id(p) for p in hidden}
    others = [p for p in network.parameters() if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.rate, betas=config.betas, fused=True)
    ]
    if hidden:
        optimisers.append(Muon(hidden, config.rate, config.momentum, config.weight_decay))
    return optimisers
