"""An endless stream of augmented batches, made beside the training process.

Batch i is a function of the seed and of i alone, so a run that resumes at step i sees exactly
what an uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from rtpose.skeleton import Skeleton
from training.augment import augment
from training.config import TrainConfig
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
        Joints known to be outside the picture.
    rows : (B,) int64
        Where in the store each comes from.
    """

    pictures: Tensor
    joints: Tensor
    weights: Tensor
    absent: Tensor
    rows: Tensor


def draw_chances(sources: tuple[str, ...], weights: dict[str, float]) -> Tensor:
    """(N,) chance of each person to be drawn, relative."""
    return torch.tensor([weights.get(source, 1.0) for source in sources], dtype=torch.float64)


def make_batch(
    store: Store, chances: Tensor, skeleton: Skeleton, config: TrainConfig, step: int, size: int
) -> Batch:
    """Batch number `step` at crop side `size`."""
    random = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    rows = torch.multinomial(chances, config.batch, replacement=True, generator=random)
    crops = torch.from_numpy(np.stack([store.crops[i] for i in rows.tolist()]))
    pictures, joints, weights, absent = augment(
        crops,
        torch.from_numpy(store.joints[rows.numpy()]),
        torch.from_numpy(store.weights[rows.numpy()]),
        torch.tensor(skeleton.flip),
        size,
        config.augment,
        random,
    )
    return Batch(pictures, joints, weights, absent, rows)


class _Stream(IterableDataset[Batch]):
    def __init__(
        self, store: Store, skeleton: Skeleton, config: TrainConfig, first: int, size: int
    ) -> None:
        self.store, self.skeleton, self.config = store, skeleton, config
        self.first, self.size = first, size
        self.chances = draw_chances(store.people.sources, config.data.source_weights)

    def __iter__(self) -> Iterator[Batch]:
        step = self.first
        while True:
            yield make_batch(self.store, self.chances, self.skeleton, self.config, step, self.size)
            step += 1


def stream_batches(
    store: Store, skeleton: Skeleton, config: TrainConfig, first: int, size: int
) -> Iterator[Batch]:
    """Batches from number `first` on, made in one other process (a thread halves training).

    That process is spawned, not forked: forking one in which OpenVINO or FFmpeg run threads has
    crashed it, and one forked from a server outlives a killed run.
    """
    stream = _Stream(store, skeleton, config, first, size)
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        multiprocessing_context="spawn",
    )
    return iter(loader)
