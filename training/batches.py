"""An endless stream of augmented batches: made beside the training process, or on its GPU.

Batch i is a function of the seed and of i alone, so a run that resumes at step i sees exactly
what an uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

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
    store: Store,
    crops_of: Callable[[Tensor], Tensor],
    chances: Tensor,
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
        Rows of the store, (B,), to their crops, (B, 3, S, S) uint8, on the device that is to do
        the work.
    chances : (N,) float64
        See `draw_chances`.
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
    pictures, joints, weights, absent = augment(
        crops,
        torch.from_numpy(store.joints[rows.numpy()]).to(device),
        torch.from_numpy(store.weights[rows.numpy()]).to(device),
        torch.tensor(skeleton.flip, device=device),
        size,
        config.augment,
        random,
        part,
    )
    return Batch(pictures, joints, weights, absent, rows[part])


def host_crops(store: Store, rows: Tensor) -> Tensor:
    """(B, 3, S, S) uint8 crops of `rows`, read from the memory map."""
    return torch.from_numpy(np.stack([store.crops[i] for i in rows.tolist()]))


class _Stream(IterableDataset[Batch]):
    def __init__(
        self,
        store: Store,
        skeleton: Skeleton,
        config: TrainConfig,
        first: int,
        size: int,
        part: slice,
    ) -> None:
        self.store, self.skeleton, self.config = store, skeleton, config
        self.first, self.size, self.part = first, size, part
        self.chances = draw_chances(store.people.sources, config.data.source_weights)

    def __iter__(self) -> Iterator[Batch]:
        step = self.first
        while True:
            yield make_batch(
                self.store,
                partial(host_crops, self.store),
                self.chances,
                self.skeleton,
                self.config,
                step,
                self.size,
                self.part,
            )
            step += 1


def stream_batches(
    store: Store,
    skeleton: Skeleton,
    config: TrainConfig,
    first: int,
    size: int,
    device: str,
    part: slice = slice(None),
) -> Iterator[Batch]:
    """Batches, or a part of each, from number `first` on.

    On a GPU all crops are taken into its memory (197 KB a person) and changed there. Without one
    they are made in one other process, for a thread halves training. That process is spawned, not
    forked: forking one in which OpenVINO or FFmpeg run threads has crashed it, and one forked
    from a server outlives a killed run.
    """
    if torch.device(device).type != "cpu":
        return device_batches(store, skeleton, config, first, size, device, part)
    stream = _Stream(store, skeleton, config, first, size, part)
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        multiprocessing_context="spawn",
    )
    return iter(loader)


def device_batches(
    store: Store,
    skeleton: Skeleton,
    config: TrainConfig,
    first: int,
    size: int,
    device: str,
    part: slice = slice(None),
) -> Iterator[Batch]:
    """`stream_batches` of crops that stay in the device's memory."""
    crops = torch.from_numpy(np.asarray(store.crops)).to(device)
    chances = draw_chances(store.people.sources, config.data.source_weights)
    step = first
    while True:
        take = lambda rows: crops[rows.to(crops.device)]  # noqa: E731
        yield make_batch(store, take, chances, skeleton, config, step, size, part)
        step += 1
