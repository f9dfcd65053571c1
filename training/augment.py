"""Random changes to a batch of people, in torch, on whatever device the batch is on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from rtpose.geometry import CROP_MARGIN
from training.config import AugmentConfig
from training.store import STORE_MARGIN, STORE_SIDE


def augment(
    crops: Tensor,
    joints: Tensor,
    weights: Tensor,
    flip_order: Tensor,
    size: int,
    config: AugmentConfig,
    random: torch.Generator,
    part: slice | Tensor = slice(None),
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scale, rotate, shift, flip, recolour and hide parts, each picture in its own way.

    Parameters
    ----------
    crops : (P, 3, STORE_SIDE, STORE_SIDE) uint8, RGB
        Of the people in `part`.
    joints : (B, K, 2) float32
        x, y in pixels of `crops`.
    weights : (B, K) float32
    flip_order : (K,) int64
        The skeleton's mirror order.
    size : int
        Side of the pictures wanted, in pixels.
    config : AugmentConfig
    random : torch.Generator
        On the device of the batch; the only source of chance.
    part : slice or (P,) int64
        Which of the batch's people are wanted. Chances are drawn for all of them, so that parts
        made by several processes are those of one batch.

    Returns
    -------
    pictures : (P, 3, size, size) uint8
    joints : (P, K, 2) float32
        In pixels of the pictures.
    weights : (P, K) float32
        0 also where a joint fell outside.
    absent : (P, K) bool
        Labelled joints that fell outside.
    """
    batch = len(joints)
    theta = _random_maps(joints, weights, config, random)[part]
    joints, weights = joints[part], weights[part]
    flipped = theta[:, 0, 0] * theta[:, 1, 1] - theta[:, 0, 1] * theta[:, 1, 0] < 0
    pictures, moved = warp(crops, joints, theta, size)
    moved = torch.where(flipped[:, None, None], moved[:, flip_order], moved)
    weights = torch.where(flipped[:, None], weights[:, flip_order], weights)
    pictures = _recolour(pictures, batch, part, config, random)
    pictures = _hide_blocks(pictures, batch, part, config, random)
    inside = ((moved > -0.5) & (moved < size - 0.5)).all(dim=-1)
    # not simply ~inside: a joint that is not a number is neither, and must not pass for absent
    outside = ((moved <= -0.5) | (moved >= size - 0.5)).any(dim=-1)
    pictures = pictures.round_().clamp_(0, 255).to(torch.uint8)
    return pictures, moved, weights * inside, (weights > 0) & outside


def warp(crops: Tensor, joints: Tensor, theta: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Sample pictures through affine maps and carry the joints along.

    Parameters
    ----------
    crops : (B, 3, S, S) uint8
    joints : (B, K, 2) float32, pixels of `crops`
    theta : (B, 2, 3) float32
        From output to input, both in units of half a side around the middle, as
        `torch.nn.functional.affine_grid` has it.
    size : int

    Returns
    -------
    (B, 3, size, size) float32 and (B, K, 2) float32 in pixels of the output
    """
    grid = functional.affine_grid(theta, [len(crops), 3, size, size], align_corners=False)
    pictures = functional.grid_sample(crops.float(), grid, align_corners=False)
    unit = (2 * joints + 1) / crops.shape[-1] - 1
    inverse = torch.linalg.inv(theta[:, :, :2])
    unit = torch.einsum("bij,bkj->bki", inverse, unit - theta[:, None, :, 2])
    return pictures, ((unit + 1) * size - 1) / 2


def _random_maps(
    joints: Tensor, weights: Tensor, config: AugmentConfig, random: torch.Generator
) -> Tensor:
    batch, device = len(joints), joints.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random, device=device) * 2 - 1

    def chance(probability: float) -> Tensor:
        return torch.rand(batch, generator=random, device=device) < probability

    centre, zoom = _half_body(joints, weights, chance(config.half_body), chance(0.5))
    zoom = zoom * (CROP_MARGIN / STORE_MARGIN) * (1 + config.scale * uniform(batch))
    angle = math.radians(config.rotation_deg) * uniform(batch)
    # acrobats stand on their heads: any angle, now and then
    angle = torch.where(chance(config.upside_down), math.pi * uniform(batch), angle)
    centre = centre + config.shift * uniform(batch, 2)
    mirror = torch.where(chance(config.flip), -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    row_x = torch.stack([cos * mirror, -sin, centre[:, 0]], dim=1)
    row_y = torch.stack([sin * mirror, cos, centre[:, 1]], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def _half_body(
    joints: Tensor, weights: Tensor, chosen: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Centre (B, 2) and zoom (B,) that frame one half of the body where `chosen`.

    The halves are the joints above, or below, the middle joint in the picture's y, which needs no
    names.
    """
    known = weights > 0
    unit = (2 * joints + 1) / STORE_SIDE - 1
    middle = torch.where(known, unit[..., 1], torch.nan).nanmedian(dim=1, keepdim=True).values
    above = unit[..., 1] <= middle
    half = known & (above == upper[:, None])
    enough = half.sum(dim=1) >= 5
    big = torch.finfo(torch.float32).max
    low = torch.where(half[..., None], unit, big).amin(dim=1)
    high = torch.where(half[..., None], unit, -big).amax(dim=1)
    use = chosen & enough
    centre = torch.where(use[:, None], (low + high) / 2, 0.0)
    # as wide as a detector's box around those joints would be: a third more than their extent
    extent = ((high - low).amax(dim=1) / 2 * 1.33 * STORE_MARGIN).clamp(0.45, 1.0)
    return centre, torch.where(use, extent, 1.0)


def _recolour(
    pictures: Tensor,
    batch: int,
    part: slice | Tensor,
    config: AugmentConfig,
    random: torch.Generator,
) -> Tensor:
    device = pictures.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random, device=device) * 2 - 1

    gain = (1 + config.colour * uniform(batch, 1, 1, 1)) * (
        1 + config.colour / 2 * uniform(batch, 3, 1, 1)
    )
    offset = 255 * config.colour / 2 * uniform(batch, 1, 1, 1)
    grey = torch.rand(batch, 1, 1, 1, generator=random, device=device) < config.grey
    mean = pictures.mean(dim=1, keepdim=True)
    return torch.where(grey[part], mean, pictures) * gain[part] + offset[part]


def _hide_blocks(
    pictures: Tensor,
    batch: int,
    part: slice | Tensor,
    config: AugmentConfig,
    random: torch.Generator,
) -> Tensor:
    """Paint one block of one colour, up to a third of the side, over some of the pictures."""
    size, device = pictures.shape[-1], pictures.device
    low_high = torch.rand(batch, 4, generator=random, device=device)
    side = (0.08 + 0.27 * low_high[:, 2:]) * size
    corner = low_high[:, :2] * size - side / 2
    colour = 255 * torch.rand(batch, 3, 1, 1, generator=random, device=device)
    chosen = torch.rand(batch, generator=random, device=device) < config.occlusion
    line = torch.arange(size, device=device)
    in_x = (line >= corner[:, :1]) & (line < (corner + side)[:, :1])
    in_y = (line >= corner[:, 1:]) & (line < (corner + side)[:, 1:])
    block = (in_y[:, :, None] & in_x[:, None, :]) & chosen[:, None, None]
    return torch.where(block[part, None], colour[part], pictures)
