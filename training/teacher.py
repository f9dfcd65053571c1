"""Distillation: a bigger network's heatmaps beside the labels.

Zhang, Zhu & Ye, "Fast Human Pose Estimation" (arXiv:1811.05419): half truth, half teacher, at
every stack, the student beginning with its own converged weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rtpose.decode import decode
from rtpose.network import DCHourglass


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that teaches.

    Attributes
    ----------
    network : DCHourglass
        Of the student's joints; on the student's device.
    size : int
        Side of the crops it was trained for, in pixels.
    share : float
        The teacher's part of the target, 0 to 1.
    """

    network: DCHourglass
    size: int
    share: float

    @torch.no_grad()
    def __call__(self, pictures: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Its answer for the student's crops.

        Parameters
        ----------
        pictures : (B, 3, S, S) uint8
        side : int
            Cells of the student's heatmaps.

        Returns
        -------
        maps : (B, K, side * side) float32
            Probability; every map sums to one.
        scores : (B, K) float32
            How sure it is.
        """
        seen = functional.interpolate(
            pictures.float(), size=(self.size, self.size), mode="bilinear", antialias=True
        )
        with torch.autocast(pictures.device.type, torch.bfloat16):
            heatmaps = self.network(seen)
        heatmaps = heatmaps.float()
        scores = decode(heatmaps)[..., 2]
        maps = functional.adaptive_avg_pool2d(heatmaps, (side, side)).flatten(2)
        return maps / maps.sum(dim=-1, keepdim=True).clamp_min(1e-12), scores


def teach(
    targets: Tensor, weights: Tensor, absent: Tensor, maps: Tensor, scores: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """Blend the teacher's maps into the targets.

    Where there is a label the target becomes a mixture. Where nobody knows the joint the teacher
    speaks alone, weighing `share` times its score. Absent joints stay absent.

    Parameters
    ----------
    targets : (B, K, C)
    weights : (B, K)
    absent : (B, K) bool
    maps : (B, K, C)
    scores : (B, K)
    share : float

    Returns
    -------
    targets, weights
        In the same shapes.
    """
    known = (weights > 0) & ~absent
    alone = (weights == 0) & ~absent
    mixed = torch.where(known[..., None], (1 - share) * targets + share * maps, targets)
    targets = torch.where(alone[..., None], maps, mixed)
    return targets, torch.where(alone, share * scores, weights)
