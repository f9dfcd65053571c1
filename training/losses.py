"""What the network is asked for at every stack: Gaussian targets and two losses on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from rtpose.network import STRIDE

Loss = Literal["cross_entropy", "mse"]
"""``mse`` is the paper's: the squared error against a Gaussian of peak 1, mean over the map.
``cross_entropy`` takes the softmax of each map as a distribution over cells and the Gaussian
normalised to one as the truth; it learns about three times faster."""


OFFSET_WEIGHT = 1e-4
"""Of the squared log of the softmax's sum, beside the cross-entropy: the z-loss of PaLM
(arXiv:2204.02311, section 5). A softmax does not see what all cells of a map have in common, so
without it that drifts: after a million pictures to 870 where cells differ by 2, which the next
hourglass is fed, and of which bfloat16 keeps multiples of 4."""


def gaussian_rows(joints: Tensor, side: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Target Gaussians as their two one-dimensional factors, peak 1.

    Parameters
    ----------
    joints : (B, K, 2)
        x, y in pixels of the crop.
    side : int
        Cells of the heatmap's side.
    sigma : float
        Standard deviation as a part of the side.

    Returns
    -------
    along_x, along_y : (B, K, side)
        The target map is ``along_y[..., :, None] * along_x[..., None, :]``.
    """
    cells = torch.arange(side, device=joints.device, dtype=torch.float32)
    # cell h covers crop pixels 4h to 4h + 3, whose middle is 4h + 1.5
    centres = (joints + 0.5) / STRIDE - 0.5
    z = (cells - centres[..., None]) / (sigma * side)
    gauss = torch.exp(-0.5 * z * z)
    return gauss[:, :, 0], gauss[:, :, 1]


def target_maps(joints: Tensor, absent: Tensor, side: int, sigma: float, kind: Loss) -> Tensor:
    """What every stack should answer.

    Parameters
    ----------
    joints : (B, K, 2)
        In pixels of the crop.
    absent : (B, K) bool
        Joints that are nowhere in the crop: the truth is a flat map.
    side, sigma
        See `gaussian_rows`.
    kind : Loss

    Returns
    -------
    (B, K, side * side) float32
    """
    along_x, along_y = gaussian_rows(joints, side, sigma)
    if kind == "cross_entropy":
        along_x = along_x / along_x.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        along_y = along_y / along_y.sum(dim=-1, keepdim=True).clamp_min(1e-12)
    maps = (along_y[..., :, None] * along_x[..., None, :]).flatten(2)
    nowhere = 1 / side**2 if kind == "cross_entropy" else 0.0
    return torch.where(absent[..., None], nowhere, maps)


def supervised_loss(
    logits: Sequence[Tensor], targets: Tensor, weights: Tensor, kind: Loss
) -> Tensor:
    """Sum over the stacks of the weighted mean loss per joint.

    Parameters
    ----------
    logits : sequence of (B, K, H, H)
        One per stack.
    targets : (B, K, H * H)
        See `target_maps`.
    weights : (B, K)
        0 leaves a joint out.
    """
    total = weights.sum().clamp_min(1e-6)
    loss = torch.zeros((), device=targets.device)
    for stack in logits:
        maps = stack.float().flatten(2)
        if kind == "cross_entropy":
            per_joint = -(targets * maps.log_softmax(dim=-1)).sum(dim=-1)
            per_joint = per_joint + OFFSET_WEIGHT * maps.logsumexp(dim=-1).square()
        else:
            per_joint = (maps - targets).square().mean(dim=-1)
        loss = loss + (per_joint * weights).sum() / total
    return loss
