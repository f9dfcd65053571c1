"""Convolutions in eight bits, for CPUs: their inputs and weights rounded to 256 steps.

Only those inside residual blocks. Their inputs are normalised and rectified, 0 to about 10, and
lose little. What the blocks add up grows to a thousand on its way through the stacks, and eight
bits would keep steps of eight of it: with everything quantised nano lost two points of PCK, like
this next to none. The rest, a tenth of the arithmetic, stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtpose.network import DCHourglass, Residual

STEPS = 255
"""Between nought and the highest input; weights have 127 to each side."""


class QuantisedConv2d(nn.Module):
    """A convolution whose input and weights are rounded, in float: OpenVINO makes integers of it.

    Parameters
    ----------
    conv : nn.Conv2d
    peak : float
        What lies above counts as this; what lies below 0 as 0.
    """

    steps: Tensor
    zeros: Tensor

    def __init__(self, conv: nn.Conv2d, peak: float) -> None:
        super().__init__()
        self.conv = conv
        # beside the number that is used, so that the peak is part of the network's state
        self.register_buffer("peak", torch.tensor(peak))
        self._step = max(peak, 1e-6) / STEPS
        largest = conv.weight.detach().abs().amax(dim=(1, 2, 3))
        self.register_buffer("steps", largest.clamp_min(1e-8) / (STEPS // 2))
        self.register_buffer("zeros", torch.zeros(len(largest), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, H, W), as the convolution does."""
        half = STEPS // 2
        x = torch.fake_quantize_per_tensor_affine(x, self._step, 0, 0, STEPS)
        weight = torch.fake_quantize_per_channel_affine(
            self.conv.weight, self.steps, self.zeros, 0, -half, half
        )
        return functional.conv2d(x, weight, self.conv.bias, padding=self.conv.padding)


def convolutions(network: DCHourglass) -> dict[str, nn.Conv2d]:
    """The convolutions that are quantised, by their names in the network."""
    return {
        f"{name}.{part}": getattr(block, part)
        for name, block in network.named_modules()
        if isinstance(block, Residual)
        for part in ("conv1", "conv2", "conv3")
    }


@contextmanager
def watch_peaks(network: DCHourglass) -> Iterator[dict[str, list[Tensor]]]:
    """Note, while the network runs, the highest input of each of its `convolutions`.

    Yields
    ------
    dict of str to list of (N,) Tensor
        One for each batch that came by, its highest value for each person.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in convolutions(network)}

    def note(name: str) -> object:
        return lambda conv, inputs: seen[name].append(inputs[0].flatten(1).amax(dim=1).cpu())

    hooks = [
        conv.register_forward_pre_hook(note(name))  # type: ignore[arg-type]
        for name, conv in convolutions(network).items()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def quantise(network: DCHourglass, peaks: Mapping[str, float]) -> DCHourglass:
    """A copy of the network with its `convolutions` in eight bits.

    Parameters
    ----------
    network : DCHourglass
        In evaluation mode, float32, on the CPU.
    peaks : dict of str to float
        For each of the `convolutions` what its input seldom exceeds: the mean over people of the
        highest value is right, as one outlier would cost all others their steps.

    Returns
    -------
    DCHourglass
    """
    made = copy.deepcopy(network)
    for name, conv in convolutions(made).items():
        block, _, part = name.rpartition(".")
        setattr(made.get_submodule(block), part, QuantisedConv2d(conv, peaks[name]))
    return made.eval()
