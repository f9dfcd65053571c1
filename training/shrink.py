"""Scales down what batch norm alone reads where half precision would not hold it; answers stay.

Batch norm does not see how large its inputs are, so nothing keeps them small in training: after
25,000 pictures at a high rate base's last features had variances up to 73,000, beyond the 65,504
that half precision holds, on disk and in engines that compute in it.

Only there: to an optimiser weights a fifth as large are weights that learn five times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from rtpose.network import DCHourglass, Residual

_MOST = 4096.0
"""Variance that is left as it is: its numbers, up to a thousand standard deviations, still fit."""


@torch.no_grad()
def shrink(network: DCHourglass) -> None:
    """Bring the variance of every channel that only batch norm reads to at most 4096, in place.

    What the network answers changes by rounding errors only.

    Parameters
    ----------
    network : DCHourglass
        Its batch norm's statistics are those of its weights.
    """
    for convolution, norm in _read_by_norm_alone(network):
        assert norm.running_mean is not None and norm.running_var is not None
        scale = (_MOST / (norm.running_var + norm.eps)).sqrt().clamp_max(1)
        convolution.weight *= scale[:, None, None, None]
        norm.running_mean *= scale
        # batch norm adds eps once more, to what is now smaller
        shrunk = ((norm.running_var + norm.eps) * scale**2 - norm.eps).clamp_min(0)
        norm.running_var.copy_(shrunk)


def _read_by_norm_alone(network: DCHourglass) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions without bias, and the norms that follow them."""
    pairs: list[tuple[nn.Module, nn.Module]] = [(network.stem[0], network.stem[1])]
    for features in network.features:
        assert isinstance(features, nn.Sequential)
        pairs.append((features[1], features[2]))
    for block in network.modules():
        if isinstance(block, Residual):
            pairs += [(block.conv1, block.norm2), (block.conv2, block.norm3)]
    for convolution, norm in pairs:
        assert isinstance(convolution, nn.Conv2d) and convolution.bias is None
        assert isinstance(norm, nn.BatchNorm2d)
        yield convolution, norm
