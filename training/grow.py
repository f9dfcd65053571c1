"""A wider and longer network that answers as a trained one does: where its training may begin.

Chen, Goodfellow & Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer"
(arXiv:1511.05641). Every channel is repeated, and what reads the copies shares the old weight
among them, in other parts for each weight. So copies are asked for different things from the first
step on, without the noise that Net2Net adds and that changes the answers. A new hourglass is the
last one again, behind a merge that is closed.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass, sources


def grow(network: DCHourglass, stacks: int, channels: int) -> DCHourglass:
    """A network of more hourglasses or channels with the same answers.

    Parameters
    ----------
    network : DCHourglass
        Not changed.
    stacks, channels : int
        Of the new network, not less than the old one's.

    Raises
    ------
    RtposeError
        If it would be smaller, or an earlier hourglass would be fed otherwise than now.
    """
    old = network.architecture
    if stacks < old.stacks or channels < old.channels:
        raise RtposeError(
            f"a network of {old.stacks} stacks x {old.channels} channels does not grow to "
            f"{stacks} x {channels}: give as many or more"
        )
    check_links(old, stacks)
    try:
        new = Architecture(stacks, channels, old.joints, old.connect, old.depth)
    except ValueError as error:
        raise RtposeError(f"no such network: {error}") from error
    grown = DCHourglass(new)
    random = torch.Generator().manual_seed(0)  # how copies share is always the same
    modules = dict(network.named_modules())
    with torch.no_grad():
        for name, module in grown.named_modules():
            if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
                before = modules.get(_before(name, old.stacks))
                if before is None:
                    _close(module)
                elif isinstance(module, nn.Conv2d):
                    assert isinstance(before, nn.Conv2d)
                    blocks = _inputs_in_blocks(name, module, old, channels)
                    _widen_convolution(before, module, blocks, random)
                else:
                    assert isinstance(before, nn.BatchNorm2d)
                    _widen_norm(before, module)
    return grown.eval()


def check_links(old: Architecture, stacks: int) -> None:
    """Refuse a number of stacks with which the hourglasses that stay would be fed otherwise.

    Raises
    ------
    RtposeError
        If it is so, as it may be with ``connect="early"``.
    """
    for s in range(1, min(stacks, old.stacks)):
        if sources(s, stacks, old.connect) != sources(s, old.stacks, old.connect):
            raise RtposeError(
                f"connect {old.connect} feeds the first hourglasses otherwise where there are "
                f"{stacks}"
            )


def _before(name: str, stacks: int) -> str:
    """Name of the module of the old network that a module of the new one repeats."""
    if name.startswith("merges."):
        return name
    return re.sub(
        r"^(hourglasses|features|heads)\.(\d+)",
        lambda found: f"{found[1]}.{min(int(found[2]), stacks - 1)}",
        name,
    )


def _close(merge: nn.Module) -> None:
    for parameter in merge.parameters():
        nn.init.zeros_(parameter)


def _repeats(new: int, old: int) -> Tensor:
    """Which of the old channels each new one repeats."""
    return torch.arange(new) % old


def _inputs_in_blocks(
    name: str, module: nn.Conv2d, old: Architecture, channels: int
) -> Tensor | None:
    """Which old inputs a merge's new ones repeat: features of a source, its heatmaps, the next's.

    None for all other convolutions, whose inputs are one block.
    """
    if not name.startswith("merges."):
        return None
    joints = old.channels + torch.arange(old.joints)
    block = torch.cat([_repeats(channels, old.channels), joints])
    count = module.in_channels // len(block)
    return torch.cat([block + i * (old.channels + old.joints) for i in range(count)])


def _widen_convolution(
    before: nn.Conv2d, after: nn.Conv2d, inputs: Tensor | None, random: torch.Generator
) -> None:
    outputs = _repeats(after.out_channels, before.out_channels)
    if inputs is None:
        inputs = _repeats(after.in_channels, before.in_channels)
    share = torch.rand(after.weight.shape, generator=random) + 0.5
    whole = torch.zeros(len(outputs), *before.weight.shape[1:]).index_add(1, inputs, share)
    after.weight.copy_(before.weight[outputs][:, inputs] * share / whole[:, inputs])
    if after.bias is not None:
        assert before.bias is not None
        after.bias.copy_(before.bias[outputs])


def _widen_norm(before: nn.BatchNorm2d, after: nn.BatchNorm2d) -> None:
    channels = _repeats(after.num_features, before.num_features)
    state = before.state_dict()
    after.load_state_dict({k: v[channels] if v.ndim else v for k, v in state.items()})
