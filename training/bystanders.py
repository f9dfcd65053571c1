"""A second person in some of the pictures: whose joints are wanted is the one in the middle.

Most of our pictures show one person, and a network that learned from them gives somebody who
stands behind another the limbs of the one in front. The second person comes from a picture of its
own, cut out along the skeleton, and stands beside the first one, before or behind.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rtpose.skeleton import COCO17, Skeleton

_LEAST_BONES = 6
"""Known bones that somebody needs to be cut out: with less there is no body."""

_LIMB, _TRUNK = 0.2, 0.36
"""Half the width of arms and legs, and of head and trunk, in lengths of the person's longest bone:
what shows most of a body and little of its background, as seen in pictures."""

_BESIDE, _ABOVE = (0.3, 0.6), 0.2
"""How far beside the middle the second person's own middle is moved, and how far up or down at
most, in parts of the picture's side."""


def silhouettes(joints: Tensor, weights: Tensor, skeleton: Skeleton, size: int) -> Tensor:
    """Where people are, about: their bones, as thick as bodies are.

    Parameters
    ----------
    joints : (N, K, 2) float32
        In pixels of the pictures.
    weights : (N, K) float32
        0 where nobody knows the joint.
    skeleton : Skeleton
    size : int
        Side of the pictures.

    Returns
    -------
    (N, size, size) bool
        Empty for people of whom hardly a bone is known.
    """
    device = joints.device
    names = [bone for bone in dict.fromkeys((*skeleton.bones, *COCO17.bones))
             if set(bone) <= set(skeleton.joints)]  # fmt: skip
    start, end = ([skeleton.index[bone[i]] for bone in names] for i in (0, 1))
    limbs = [any(part in "".join(b) for part in ("ankle", "knee", "wrist", "elbow")) for b in names]
    width = torch.where(torch.tensor(limbs, device=device), _LIMB, _TRUNK)

    known = (weights[:, start] > 0) & (weights[:, end] > 0)
    known &= known.sum(dim=1, keepdim=True) >= _LEAST_BONES
    along = joints[:, end] - joints[:, start]
    length = torch.where(known, along.norm(dim=-1), 0)
    radius = torch.where(known, width * length.amax(dim=1, keepdim=True), 0)

    line = torch.arange(size, dtype=torch.float32, device=device)
    body = torch.zeros(len(joints), size, size, dtype=torch.bool, device=device)
    # one at a time stays in a CPU's caches, six times as fast as all; a GPU would wait for launches
    at_once = 1 if device.type == "cpu" else len(names)
    starts = joints[:, start]
    for i in range(0, len(names), at_once):
        some = slice(i, i + at_once)
        first, (dx, dy) = starts[:, some], along[:, some, :, None, None].unbind(2)
        x = line - first[..., 0, None, None]
        y = line[:, None] - first[..., 1, None, None]
        # the bone's point nearest to each pixel, from 0 at its start to 1 at its end
        t = ((x * dx + y * dy) / (dx * dx + dy * dy).clamp_min(1e-6)).clamp(0, 1)
        apart = (x - t * dx).square() + (y - t * dy).square()
        body |= (apart < radius[:, some, None, None].square()).any(dim=1)
    return body


def add_bystanders(
    pictures: Tensor,
    bodies: Tensor,
    others: Tensor,
    other_joints: Tensor,
    other_weights: Tensor,
    skeleton: Skeleton,
    places: Tensor,
) -> Tensor:
    """Put a second person into every picture; the first one's joints stay the truth.

    Parameters
    ----------
    pictures : (N, 3, S, S) uint8
    bodies : (N, S, S) bool
        The first ones' silhouettes.
    others : (N, 3, S, S) uint8
        Pictures of the second ones, in the middle.
    other_joints, other_weights : (N, K, 2) and (N, K) float32
    skeleton : Skeleton
    places : (N, 4) float32 from 0 to 1
        Chances that decide on side, distance, height, and whether before or behind.

    Returns
    -------
    (N, 3, S, S) uint8
    """
    size = pictures.shape[-1]
    side, distance, height, behind = places.unbind(dim=1)
    least, most = _BESIDE
    dx = torch.where(side < 0.5, -1, 1) * (least + (most - least) * distance) * size
    dy = (2 * height - 1) * _ABOVE * size
    shift = torch.stack([dx, dy], dim=1).round()
    body = silhouettes(other_joints + shift[:, None], other_weights, skeleton, size)
    body &= ~(bodies & (behind < 0.5)[:, None, None])
    # moved by whole pixels: a gather, with nothing where it would read outside
    line = torch.arange(size, device=pictures.device)
    x, y = (line - shift.long()[:, i, None] for i in (0, 1))
    body &= ((y >= 0) & (y < size))[:, :, None] & ((x >= 0) & (x < size))[:, None, :]
    rows = torch.arange(len(others), device=pictures.device)[:, None, None]
    x, y = x.clamp(0, size - 1)[:, None, :], y.clamp(0, size - 1)[:, :, None]
    moved = others.movedim(1, -1)[rows, y, x].movedim(-1, 1)
    return torch.where(body[:, None], moved, pictures)
