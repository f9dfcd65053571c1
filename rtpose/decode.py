"""Heatmaps in, joints out: argmax, place between cells, score.

Everything is batched over people and joints, in torch, on the device of the heatmaps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from rtpose.network import STRIDE

Refine = Callable[[Tensor], Tensor]
"""Along one axis: probabilities in five cells, the highest in their middle, (..., 5) float32, to
where the joint is, (...), in cells from that middle."""

_REACH = 2
"""Cells on either side of the highest one that a `Refine` sees."""

_LEAST = 1e-9
"""Probabilities below are as good as none; their logarithm has no end."""

_SCORE_RADIUS = 0.05
"""Half the side of the window whose probability is a joint's score, as a part of the map's side:
twice the standard deviation of the training target's Gaussian less a cell."""


def parabola(line: Tensor) -> Tensor:
    """The top of the parabola nearest to the five logarithms: exact where the map is a Gaussian.

    The separable form of DARK (Zhang et al., arXiv:1910.06278) by least squares. A `Refine`; beside
    `quarter` the shipped nano gains 0.4 PCK@0.2 on LSP's test set (`rtpose bench`), and joints
    jitter less in a video, for they no longer jump from one half cell to the next. Through three
    cells alone it is exact as well, but takes the noise of bfloat16 and of the network twice as
    seriously: small loses 0.3 PCK@0.2 and 0.6 PCK@0.1 so.
    """
    logs = line.clamp_min(_LEAST).log()
    far_before, before, middle, after, far_after = logs.unbind(-1)
    slope = (2 * (far_after - far_before) + after - before) / 10
    bend = (2 * (far_before - middle + far_after) - before - after) / 7
    # a map that does not bend down here has no top here: as far as the neighbour at most
    return (slope / (-bend).clamp_min(1e-6)).clamp(-1, 1)


def quarter(line: Tensor) -> Tensor:
    """A quarter of a cell toward the higher neighbour (Newell et al., arXiv:1603.06937, 3.3)."""
    return 0.25 * torch.sign(line[..., _REACH + 1] - line[..., _REACH - 1])


def unrefined(line: Tensor) -> Tensor:
    """The middle of the highest cell."""
    return torch.zeros_like(line[..., _REACH])


def decode(heatmaps: Tensor, refine: Refine = parabola) -> Tensor:
    """Joints in pixels of the crop.

    The highest cell, and the place that `refine` finds about its middle, in x and in y. The score
    is the probability in a window around that cell: how sure the network is that the joint is
    there, from 0 to 1.

    Parameters
    ----------
    heatmaps : (N, K, H, W)
        Probability over cells, as `rtpose.heatmaps.HeatmapNetwork` returns it.
    refine : Refine
        Not asked where the highest cell is not two cells from the map's edge.

    Returns
    -------
    (N, K, 3) float32
        x, y in pixels of the crop (whole coordinates are pixel centres) and the score.
    """
    count, joints, height, width = heatmaps.shape
    flat = heatmaps.flatten(2)
    best = flat.argmax(dim=-1)
    x, y = best % width, torch.div(best, width, rounding_mode="floor")
    radius = max(_REACH, round(_SCORE_RADIUS * width))
    # one gather for all neighbours; cells outside the map read as zero
    padded = functional.pad(heatmaps, (radius,) * 4).flatten(2)
    offset = torch.arange(2 * radius + 1, device=heatmaps.device)
    rows = (y[..., None] + offset) * (width + 2 * radius)
    window = (rows[..., :, None] + (x[..., None] + offset)[..., None, :]).flatten(2)
    near = padded.gather(2, window).view(count, joints, 2 * radius + 1, 2 * radius + 1).float()
    shift_x, shift_y = (
        refine(line[..., radius - _REACH : radius + _REACH + 1])
        for line in (near[..., radius, :], near[..., :, radius])
    )
    inside_x = (x >= _REACH) & (x < width - _REACH)
    inside_y = (y >= _REACH) & (y < height - _REACH)
    cell_x = x + torch.where(inside_x, shift_x, 0.0)
    cell_y = y + torch.where(inside_y, shift_y, 0.0)
    score = near.sum(dim=(-1, -2)).clamp(0, 1)
    return torch.stack([cell_to_pixel(cell_x), cell_to_pixel(cell_y), score], dim=-1)


def cell_to_pixel(cells: Tensor) -> Tensor:
    """Heatmap coordinates to crop pixels: cell h covers pixels 4h to 4h + 3."""
    return (cells + 0.5) * STRIDE - 0.5
