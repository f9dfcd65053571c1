"""Convolutions in eight bits, for CPUs: their inputs and weights rounded to 256 steps.

Which of a network's convolutions lose little by it the network's own file says.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

STEPS = 255
"""Between the lowest and the highest input; weights have 127 to each side."""

Range = tuple[float, float]
"""What an input seldom falls below and seldom exceeds."""

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class QuantisedConv2d(nn.Module):
    """A convolution whose input and weights are rounded, in float: OpenVINO makes integers of it.

    Gradients go through the roundings as if there were none, and end where an input is cut off.

    Parameters
    ----------
    conv : nn.Conv2d
    low, high : float
        What lies outside counts as the nearer of them. Nought always lies inside.
    """

    steps: Tensor
    zeros: Tensor

    def __init__(self, conv: nn.Conv2d, low: float, high: float) -> None:
        super().__init__()
        self.conv = conv
        low, high = min(low, 0.0), max(high, 0.0)
        # beside the numbers that are used, so that the range is part of the network's state
        self.register_buffer("range", torch.tensor([low, high]))
        self._step = max(high - low, 1e-6) / STEPS
        self._nought = round(-low / self._step)
        self.register_buffer("steps", torch.ones(conv.out_channels))
        self.register_buffer("zeros", torch.zeros(conv.out_channels, dtype=torch.int32))
        self.fit_steps()

    def fit_steps(self) -> None:
        """Take the steps from the weights; to be called again once these have changed."""
        largest = self.conv.weight.detach().abs().amax(dim=(1, 2, 3))
        self.steps.copy_(largest.clamp_min(1e-8) / (STEPS // 2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, H, W), as the convolution does."""
        conv, half = self.conv, STEPS // 2
        x = torch.fake_quantize_per_tensor_affine(x, self._step, self._nought, 0, STEPS)
        weight = torch.fake_quantize_per_channel_affine(
            conv.weight, self.steps, self.zeros, 0, -half, half
        )
        return functional.conv2d(
            x, weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
        )


@contextmanager
def watch_inputs(network: nn.Module, names: Collection[str]) -> Iterator[dict[str, list[Tensor]]]:
    """Note, while a network runs, between what the inputs of some of its modules lie.

    Yields
    ------
    dict of str to list of (N, 2) Tensor
        One for each batch that came by: the lowest and the highest value for each picture.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in names}

    def note(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
            seen[name].append(torch.stack(inputs[0].flatten(1).aminmax(dim=1), dim=1).cpu())

        return hook

    hooks = [
        network.get_submodule(name).register_forward_pre_hook(note(name))  # type: ignore[arg-type]
        for name in names
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def quantise(network: AnyModule, ranges: Mapping[str, Range]) -> AnyModule:
    """The network with some convolutions in eight bits; it has its weights in common with it.

    Parameters
    ----------
    network : nn.Module
        In float32.
    ranges : dict of str to (float, float)
        Of the input of each of these convolutions. The mean over pictures of the highest value is
        right for its upper end, as one outlier would cost all others their steps.

    Raises
    ------
    AttributeError
        If the network has no convolution of such a name.
    """
    made = copy.deepcopy(network, {id(weight): weight for weight in network.parameters()})
    for name, (low, high) in ranges.items():
        parent, _, leaf = name.rpartition(".")
        conv = made.get_submodule(name)
        if not isinstance(conv, nn.Conv2d):
            raise AttributeError(f"{name} is no convolution")
        setattr(made.get_submodule(parent), leaf, QuantisedConv2d(conv, low, high))
    return made
