"""Start a network from a trained one whose hourglasses are narrower inside, losing nothing.

Net2Net's idea (Chen, Goodfellow & Shlens, arXiv:1511.05641), with zeros in place of copies: the
trained weights fill the corner they fit, and old channels read nothing from new ones at first.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from rtpose.errors import RtposeError
from rtpose.network import DCHourglass


@torch.no_grad()
def start_from(network: DCHourglass, trained: DCHourglass) -> None:
    """Give `network` the answers of `trained`; its further channels stay as they are.

    Parameters
    ----------
    network : DCHourglass
        Changed in place.
    trained : DCHourglass
        Of the same architecture, or one whose `increase` is 0.

    Raises
    ------
    RtposeError
        If they differ in anything else.
    """
    wanted, given = network.architecture, trained.architecture
    if given not in (wanted, replace(wanted, increase=0)):
        raise RtposeError(f"the weights to start from are {given}, the config asks for {wanted}")
    parts = dict(trained.named_modules())
    for name, wide in network.named_modules():
        narrow = parts.get(name)
        if isinstance(wide, (nn.Conv2d, nn.BatchNorm2d)) and narrow is not None:
            _fill(wide, narrow)


def _fill(wide: nn.Module, narrow: nn.Module) -> None:
    for name, old in narrow.state_dict().items():
        new = wide.state_dict()[name]
        if not old.ndim:  # batches counted
            new.copy_(old)
            continue
        outputs = len(old)
        if old.ndim > 1:
            new[:outputs].zero_()
        new[tuple(slice(n) for n in old.shape)] = old
