"""Are an engine's answers those of the eager network? Asked on crops of real people.

Compared are places alone, of the half of the joints that the eager network is surer of, and their
mean distance; see `Parity`. It tells a broken engine from one that rounds, and is no measure of
accuracy: what a precision costs on labelled people is measured with `rtpose bench --data`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtpose.decode import decode
from rtpose.geometry import crop_squares, cut_crops
from rtpose.photographs import photographed_people

RECIPE = "1"
"""Part of the key of every verdict that is kept: to be raised when what is asked, what is tolerated
or how a verdict is written changes, so that no older one is taken for it."""

TOLERANCE_PX = 0.5
"""How far joints may lie from the eager network's, in pixels of the crop, on average.

Of the crop as the network takes it, whatever its size: half a pixel is 0.4 % of the side of nano's
128 and 0.3 % of small's 192.

Of each single joint it cannot be asked: where the two highest cells of a map are a hair apart,
rounding decides from which of them the joint is refined.
"""

_TIES = 0.05
"""Part of the joints that may lie anywhere: where two peaks are a hair apart in height, any
rounding sends the joint from one to the other, half a crop away, and neither is the better answer.
"""


@dataclass(frozen=True)
class Parity:
    """How two engines' answers to the same crops differ.

    Attributes
    ----------
    joints : int
        Joints compared: the half that the reference is surer of. Of the others, two peaks far
        apart may be a hair apart in height.
    apart_px : float
        Mean distance in pixels of the crop, without the farthest twentieth of them.
    farthest_px : float
        The largest distance of all.
    same : float
        Part of them, 0 to 1, that lie where the reference has them, to `TOLERANCE_PX`.
    finite : bool
        No heatmap holds NaN or infinity.
    """

    joints: int
    apart_px: float
    farthest_px: float
    same: float
    finite: bool

    @property
    def holds(self) -> bool:
        """Whether the engine may be used in the reference's place."""
        return self.finite and self.apart_px <= TOLERANCE_PX

    def __str__(self) -> str:
        if not self.finite:
            return "some heatmaps are not finite numbers"
        return (
            f"{self.joints} joints, {100 * self.same:.0f} % within {TOLERANCE_PX} px, "
            f"mean {self.apart_px:.2f} px and at most {self.farthest_px:.1f} px apart"
        )


def compare(reference: Tensor, heatmaps: Tensor) -> Parity:
    """Compare heatmaps (N, K, H, W) of the same crops, joint by joint."""
    heatmaps = heatmaps.to(reference.device)
    if not torch.isfinite(heatmaps).all():
        return Parity(0, float("inf"), float("inf"), 0.0, finite=False)
    want, have = decode(reference), decode(heatmaps)
    sure = want[..., 2] >= want[..., 2].quantile(0.5)
    apart = (want[..., :2] - have[..., :2]).norm(dim=-1)[sure].sort().values
    untied = apart[: len(apart) - int(_TIES * len(apart))]
    same = float((apart <= TOLERANCE_PX).float().mean())
    return Parity(len(apart), float(untied.mean()), float(apart[-1]), same, finite=True)


@torch.inference_mode()
def check(
    reference: Callable[[Tensor], Tensor], engine: Callable[[Tensor], Tensor], size: int
) -> Parity:
    """Ask both about `real_crops` of `size` pixels."""
    crops = real_crops(size)
    return compare(reference(crops), engine(crops))


def real_crops(size: int) -> Tensor:
    """Crops of people in photographs and their mirror images, (10, 3, size, size) uint8 RGB."""
    cut = [cut_crops(image, crop_squares(boxes), size) for image, boxes in photographed_people()]
    crops = torch.from_numpy(np.concatenate(cut))
    return torch.cat([crops, crops.flip(-1)])
