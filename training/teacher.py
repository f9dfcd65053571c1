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
from rtpose.engines.base import Engine


@dataclass(frozen=True, eq=False)
class Lesson:
    """A teacher's answer for one batch.

    Attributes
    ----------
    maps : (B, K, C) float32
        Probability in the student's cells; every map sums to one.
    scores : (B, K) float32
        How sure the teacher is.
    share : float
        The teacher's part of the target, 0 to 1.
    """

    maps: Tensor
    scores: Tensor
    share: float


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that teaches.

    Attributes
    ----------
    engine : Engine
        What runs it, on the student's device; its heatmaps are of the student's joints.
    share : float
        Its part of the target, 0 to 1.
    """

    engine: Engine
    share: float

    def __call__(self, pictures: Tensor, side: int) -> Lesson:
        """Its answer for a batch.

        Parameters
        ----------
        pictures : (B, 3, S, S) uint8
            What the student sees, in the size that the engine takes.
        side : int
            Cells of the student's heatmaps.
        """
        heatmaps = self.engine(pictures)
        # not the mean over cells: where the sides are 3 to 2, every third would count twice
        maps = functional.interpolate(
            heatmaps, size=(side, side), mode="bilinear", antialias=True
        ).flatten(2)
        maps = maps / maps.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        return Lesson(maps, decode(heatmaps)[..., 2], self.share)


def teach(
    targets: Tensor, weights: Tensor, absent: Tensor, lesson: Lesson
) -> tuple[Tensor, Tensor]:
    """Blend a teacher's maps into the targets.

    Where there is a label the target becomes a mixture. Where nobody knows the joint the teacher
    speaks alone, weighing its share times its score. Absent joints stay absent.

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
