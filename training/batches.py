"""An endless stream of augmented batches, made on the device that trains.

Batch i is a function of the seed and of i alone, so a run that resumes at step i sees exactly
what an uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtpose.skeleton import Skeleton
from training.augment import augment
from training.bystanders import add_bystanders, silhouettes
from training.config import TrainConfig
from training.faces import FACE, faceless
from training.store import Store


@dataclass(frozen=True, eq=False)
class Batch:
    """Augmented pictures.

    Attributes
    ----------
    pictures : (B, 3, S, S) uint8, RGB
    joints : (B, K, 2) float32
        In pixels of the pictures.
    weights : (B, K) float32
    absent : (B, K) bool
        Joints known to be nowhere in the picture.
    rows : (B,) int64
        Where in the store each comes from.
    """

    pictures: Tensor
    joints: Tensor
    weights: Tensor
    absent: Tensor
    rows: Tensor


CropsOf = Callable[[Tensor], Tensor]
"""Rows of a store, (B,), to their crops, (B, 3, S, S) uint8."""


def draw_chances(sources: tuple[str, ...], weights: dict[str, float]) -> Tensor:
    """(N,) chance of each person to be drawn, relative."""
    return torch.tensor([weights.get(source, 1.0) for source in sources], dtype=torch.float64)


def make_batch(
    store: Store,
    crops_of: CropsOf,
    chances: Tensor,
    no_face: Tensor,
    skeleton: Skeleton,
    config: TrainConfig,
    step: int,
    size: int,
    part: slice = slice(None),
) -> Batch:
    """Batch number `step` at crop side `size`.

    Parameters
    ----------
    store : Store
    crops_of : callable
        See `crops_reader`; the batch is made on the device that they are on.
    chances : (N,) float64
        See `draw_chances`.
    no_face : (N,) bool
        See `training.faces.faceless`.
    skeleton : Skeleton
    config : TrainConfig
    step, size : int
    part : slice
        Which of the batch's people are wanted, see `augment`.
    """
    seed = config.seed * 1_000_003 + step
    draw = torch.Generator().manual_seed(seed)
    rows = torch.multinomial(chances, config.batch, replacement=True, generator=draw)
    crops = crops_of(rows[part])
    device = crops.device
    random = draw if device.type == "cpu" else torch.Generator(device).manual_seed(seed)
    flip = torch.tensor(skeleton.flip, device=device)

    def changed(
        crops: Tensor, rows: Tensor, part: slice | Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        joints, weights = (
            torch.from_numpy(table[rows.numpy()]).to(device)
            for table in (store.joints, store.weights)
        )
        return augment(crops, joints, weights, flip, size, config.augment, random, part)

    pictures, joints, weights, absent = changed(crops, rows, part)
    # the nose and both eyes: a mirror image has none either
    face = torch.tensor([name in FACE for name in skeleton.joints])
    absent |= (no_face[rows[part], None] & face).to(device)
    # who comes by is drawn for the whole batch, like all chances, and made for the part alone
    hosts = torch.nonzero(torch.rand(config.batch, generator=draw) < config.augment.bystander)
    mine, where = torch.nonzero(hosts == torch.arange(config.batch)[part]).unbind(dim=1)
    if len(mine):
        guests = torch.multinomial(chances, len(hosts), replacement=True, generator=draw)
        places = torch.rand(len(hosts), 4, generator=draw)[mine].to(device)
        others, their_joints, their_weights, _ = changed(crops_of(guests[mine]), guests, mine)
        where = where.to(device)
        pictures[where] = add_bystanders(
            pictures[where],
            silhouettes(joints[where], weights[where], skeleton, size),
            others,
            their_joints,
            their_weights,
            skeleton,
            places,
        )
    return Batch(pictures, joints, weights, absent, rows[part])


def crops_reader(store: Store, device: str) -> CropsOf:
    """What `make_batch` takes crops by.

    On a GPU all of them are taken into its memory first (197 KB a person). Without one they are
    read from the memory map.
    """
    if torch.device(device).type == "cpu":
        return lambda rows: torch.from_numpy(np.stack([store.crops[i] for i in rows.tolist()]))
    crops = torch.from_numpy(np.asarray(store.crops)).to(device)
    return lambda rows: crops[rows.to(crops.device)]


def stream_batches(
    store: Store,
    crops_of: CropsOf,
    skeleton: Skeleton,
    config: TrainConfig,
    first: int,
    size: int,
    part: slice = slice(None),
) -> Iterator[Batch]:
    """Batches, or a part of each, from number `first` on, each made when it is asked for.

    On the CPU too: torch makes one with all cores in a twentieth of a training step's time, and
    another process that makes them beside the steps costs these more (119 against 111 pictures a
    second on two cores).
    """
    chances = draw_chances(store.people.sources, config.data.source_weights)
    no_face = torch.from_numpy(faceless(store.people, skeleton))
    step = first
    while True:
        yield make_batch(store, crops_of, chances, no_face, skeleton, config, step, size, part)
        step += 1
