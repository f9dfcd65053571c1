"""The dense-connected stacked hourglass: crops of people in, one heatmap per joint out.

Liu & Ding, "Dense-connected Stacked Hourglass Networks for Human Pose Estimation", on top of
Newell, Yang & Deng, "Stacked Hourglass Networks for Human Pose Estimation" (arXiv:1603.06937).

Dense is written here as chain plus extra links: hourglass s takes x[s-1] (as Newell's does) plus
a learned 1x1 merge of the features and heatmaps of its sources. The columns of that merge that
read hourglasses before the last one start at zero, so every dense network starts as the chain
network of the same seed and earns its long links.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Connect = Literal["dense", "chain", "early"]

STRIDE = 4
"""Crop pixels per heatmap cell, in each direction."""

_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a network.

    Attributes
    ----------
    stacks : int
        Hourglasses in a row. ``dense`` and ``chain`` differ from the third on.
    channels : int
        Width of every feature map between the stem and the heads; even.
    joints : int
        Heatmaps per person.
    connect : {"dense", "chain", "early"}
        Which earlier hourglasses feed each hourglass, see `sources`.
    depth : int
        Halvings inside an hourglass; the crop's side must be a multiple of 4 * 2**depth.
    """

    stacks: int
    channels: int
    joints: int
    connect: Connect = "dense"
    depth: int = 4

    def __post_init__(self) -> None:
        if self.stacks < 1 or self.channels < 2 or self.joints < 1 or self.depth < 1:
            raise ValueError(f"stacks, channels, joints and depth must be positive: {self}")
        if self.channels % 2:
            raise ValueError(f"channels must be even, not {self.channels}")
        if self.connect not in ("dense", "chain", "early"):
            raise ValueError(f"connect must be dense, chain or early, not {self.connect!r}")


def sources(stack: int, stacks: int, connect: Connect) -> tuple[int, ...]:
    """Earlier hourglasses whose features and heatmaps hourglass `stack` merges.

    ``chain`` takes the previous one, ``dense`` every earlier one. ``early`` is dense in the first
    half of the network and chain after it: the pruning that the paper's conclusion proposes.
    """
    first_half = stack <= stacks // 2
    if connect == "dense" or (connect == "early" and first_half):
        return tuple(range(stack))
    return (stack - 1,)


class Residual(nn.Module):
    """Pre-activation bottleneck (He et al., arXiv:1603.05027): 1x1 to half, 3x3, 1x1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, half, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, outputs, 1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        y = self.conv1(functional.relu(self.norm1(x)))
        y = self.conv2(functional.relu(self.norm2(y)))
        y = self.conv3(functional.relu(self.norm3(y)))
        out: Tensor = y + self.skip(x)
        return out


class Hourglass(nn.Module):
    """Halve `depth` times and come back, adding a residual branch at every resolution."""

    def __init__(self, depth: int, channels: int) -> None:
        super().__init__()
        self.branch = Residual(channels, channels)
        self.down = Residual(channels, channels)
        self.inner = Hourglass(depth - 1, channels) if depth > 1 else Residual(channels, channels)
        self.up = Residual(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W); H and W divisible by 2**depth."""
        low = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        high: Tensor = self.branch(x)
        return high + functional.interpolate(low, scale_factor=2.0, mode="nearest")


def eight_bit_convolutions(network: nn.Module) -> list[str]:
    """Names of the convolutions that lose little in eight bits: those inside residual blocks.

    Their inputs are normalised and rectified, 0 to about 10. What the blocks add up grows to a
    thousand on its way through the stacks, and eight bits would keep steps of eight of it: with
    everything quantised nano lost two points of PCK, like this next to none. The rest, a tenth of
    the arithmetic, stays as it is: also what makes the features, though PCK does not see it, as
    small then swaps left and right of people from behind more often.
    """
    return [
        f"{name}.{part}"
        for name, block in network.named_modules()
        if isinstance(block, Residual)
        for part in ("conv1", "conv2", "conv3")
    ]


class DCHourglass(nn.Module):
    """Stacked hourglasses with dense, chain or early connections.

    Parameters
    ----------
    architecture : Architecture
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        c = a.channels
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))
        self.stem = nn.Sequential(
            nn.Conv2d(3, c // 2, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(c // 2),
            nn.ReLU(),
            Residual(c // 2, c // 2),
            nn.MaxPool2d(2),
            Residual(c // 2, c),
            Residual(c, c),
        )
        self.hourglasses = nn.ModuleList(Hourglass(a.depth, c) for _ in range(a.stacks))
        self.features = nn.ModuleList(
            nn.Sequential(
                Residual(c, c), nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU()
            )
            for _ in range(a.stacks)
        )
        self.heads = nn.ModuleList(nn.Conv2d(c, a.joints, 1) for _ in range(a.stacks))
        self.merges = nn.ModuleList(
            nn.Conv2d(len(sources(s, a.stacks, a.connect)) * (c + a.joints), c, 1)
            for s in range(1, a.stacks)
        )
        self._close_long_links()

    def _close_long_links(self) -> None:
        near = self.architecture.channels + self.architecture.joints
        for merge in self.merges:
            assert isinstance(merge, nn.Conv2d)
            nn.init.zeros_(merge.weight[:, :-near])
            # the near link starts as in the chain network, whose fan-in knows no far ones
            nn.init.kaiming_uniform_(merge.weight[:, -near:], a=5**0.5)

    def every_stack(self, pixels: Tensor) -> list[Tensor]:
        """Logits of every stack's head, for training with intermediate supervision.

        Parameters
        ----------
        pixels : (N, 3, S, S) uint8 or float, RGB, 0 to 255

        Returns
        -------
        list of (N, K, S/4, S/4)
            One per stack, first to last.
        """
        a = self.architecture
        x = self.stem((pixels - self.mean) / self.std)
        passed: list[Tensor] = []
        logits: list[Tensor] = []
        for s in range(a.stacks):
            if s:
                near = sources(s, a.stacks, a.connect)
                x = x + self.merges[s - 1](torch.cat([passed[j] for j in near], dim=1))
            feature = self.features[s](self.hourglasses[s](x))
            logits.append(self.heads[s](feature))
            passed.append(torch.cat([feature, logits[-1]], dim=1))
        return logits

    def forward(self, pixels: Tensor) -> Tensor:
        """Heatmaps of the last stack, as probability: every map sums to one.

        Parameters
        ----------
        pixels : (N, 3, S, S) uint8 or float, RGB, 0 to 255

        Returns
        -------
        (N, K, S/4, S/4), the dtype of the weights
        """
        logits = self.every_stack(pixels)[-1]
        return logits.flatten(2).softmax(dim=-1).view_as(logits)
