"""Takes constants out of what a network's blocks add up: its answers stay, its numbers get small.

Batch norm, whose statistics follow, does not see what a channel has in common everywhere, so
nothing keeps it small in training: in small's last hourglass two channels in three had means of
25 to 280 standard deviations, up to 1,070, where neighbouring numbers of bfloat16 are 8 apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rtpose.network import DCHourglass, Hourglass, Residual


@contextmanager
def watch_sums(network: DCHourglass) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """Collect what channels are on average, a (C,) tensor each time the network is called.

    By residual block it is what the block gives, by hourglass what it is given.
    """
    seen: dict[nn.Module, list[Tensor]] = defaultdict(list)

    def given(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[block].append(inputs[0].mean(dim=(0, 2, 3)))

    def gives(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[block].append(output.mean(dim=(0, 2, 3)))

    hooks = [
        block.register_forward_hook(gives)
        if isinstance(block, Residual)
        else block.register_forward_pre_hook(given)
        for block in network.modules()
        if isinstance(block, Residual | Hourglass)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def centre(network: DCHourglass, sums: Mapping[nn.Module, list[Tensor]]) -> None:
    """Bring every channel that blocks add up to a mean of about 0, in place.

    What the network answers changes by rounding errors only.

    Parameters
    ----------
    network : DCHourglass
        In evaluation mode, on the CPU.
    sums : mapping of nn.Module to list of (C,) tensors
        From `watch_sums`.
    """
    means = {block: torch.stack(each).mean(dim=0) for block, each in sums.items()}

    def residual(block: nn.Module, offset: Tensor) -> Tensor:
        """What is added to its output, if `offset` was added to its input."""
        assert isinstance(block, Residual)
        _follow(block.norm1, offset)
        carried = offset
        if isinstance(block.skip, nn.Conv2d):
            carried = block.skip.weight[:, :, 0, 0] @ offset
        added = -means[block]
        _add(block.conv3.bias, added - carried)
        return added

    def hourglass(block: nn.Module, offset: Tensor) -> Tensor:
        assert isinstance(block, Hourglass)
        high = residual(block.branch, offset)
        low = residual(block.down, offset)
        inside = hourglass if isinstance(block.inner, Hourglass) else residual
        return high + residual(block.up, inside(block.inner, low))

    offset = torch.zeros(network.architecture.channels // 2)
    for block in network.stem:
        if isinstance(block, Residual):
            offset = residual(block, offset)
    for stack, (body, features) in enumerate(
        zip(network.hourglasses, network.features, strict=True)
    ):
        if stack:
            merge = network.merges[stack - 1]
            assert isinstance(merge, nn.Conv2d)
            added = -means[body]
            _add(merge.bias, added - offset)
            offset = added
        assert isinstance(features, nn.Sequential)
        block, convolution, norm, _ = features
        assert isinstance(convolution, nn.Conv2d)
        _follow(norm, convolution.weight[:, :, 0, 0] @ residual(block, hourglass(body, offset)))


def _add(bias: Tensor | None, offset: Tensor) -> None:
    assert bias is not None
    bias += offset


def _follow(norm: nn.Module, offset: Tensor) -> None:
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
    norm.running_mean += offset
