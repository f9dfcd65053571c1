"""Distillation: trained networks' heatmaps beside the labels.

Zhang, Zhu & Ye, "Fast Human Pose Estimation" (arXiv:1811.05419): half truth, half teacher, at
every stack, the student beginning with its own converged weights. Several teachers speak as one,
with the mean of their heatmaps, which is more often right than any of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rtpose.decode import decode
from rtpose.engines.base import Engine


@dataclass(frozen=True, eq=False)
class Lesson:
    """The teachers' answer for one batch.

    Attributes
    ----------
    maps : (B, K, C) float32
        Probability in the student's cells; every map sums to one.
    scores : (B, K) float32
        How sure they are.
    share : float
        Their part of the target, 0 to 1.
    """

    maps: Tensor
    scores: Tensor
    share: float


@dataclass(frozen=True, eq=False)
class Teachers:
    """Trained networks that teach.

    Attributes
    ----------
    engines : sequence of Engine
        What runs them, on the student's device; their heatmaps are of the student's joints.
    share : float
        Their part of the target, 0 to 1.
    """

    engines: Sequence[Engine]
    share: float

    @property
    def input_sizes(self) -> list[int]:
        """Sides of the pictures that the engines take, in pixels."""
        return [engine.input_size for engine in self.engines]

    def __call__(self, pictures: Sequence[Tensor], side: int) -> Lesson:
        """Their answer for a batch.

        Parameters
        ----------
        pictures : sequence of (B, 3, S, S) uint8
            What the student sees, for each engine in the size that it takes.
        side : int
            Cells of the student's heatmaps.
        """
        maps: list[Tensor] = []
        scores: list[Tensor] = []
        for engine, seen in zip(self.engines, pictures, strict=True):
            heatmaps = engine(seen)
            # not the mean over cells: where the sides are 3 to 2, every third would count twice
            resized = functional.interpolate(
                heatmaps, size=(side, side), mode="bilinear", antialias=True
            ).flatten(2)
            maps.append(resized / resized.sum(dim=-1, keepdim=True).clamp_min(1e-12))
            scores.append(decode(heatmaps)[..., 2])
        return Lesson(torch.stack(maps).mean(dim=0), torch.stack(scores).mean(dim=0), self.share)


def teach(
    targets: Tensor, weights: Tensor, absent: Tensor, lesson: Lesson
) -> tuple[Tensor, Tensor]:
    """Blend the teachers' maps into the targets.

    Where there is a label the target becomes a mixture. Where nobody knows the joint the teachers
    speak alone, weighing their share times their score. Absent joints stay absent.

    Parameters
    ----------
    targets : (B, K, C)
    weights : (B, K)
    absent : (B, K) bool
    lesson : Lesson

    Returns
    -------
    targets, weights
        In the same shapes.
    """
    known = (weights > 0) & ~absent
    alone = (weights == 0) & ~absent
    share, maps = lesson.share, lesson.maps
    mixed = torch.where(known[..., None], (1 - share) * targets + share * maps, targets)
    targets = torch.where(alone[..., None], maps, mixed)
    return targets, torch.where(alone, share * lesson.scores, weights)
