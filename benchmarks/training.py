"""Pictures a second: the batches alone, the steps alone, and both as training has them.

``python -m benchmarks.training`` makes people of noise, so no data set is needed; what is in a
picture changes no time. Rounds take turns; figures are medians. On a GPU: ``--device cuda``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.record import RESULTS, here_and_now
from rtpose.datasets.people import People
from rtpose.gpu import select_device
from rtpose.skeleton import BODY21
from training.batches import Batch, crops_reader, stream_batches
from training.config import TrainConfig, read_config
from training.on_gpu import made_beside, recorded
from training.optimisers import make_optimisers
from training.parallel import Processes
from training.store import STORE_SIDE, Store
from training.train import build_network, train_step

_PEOPLE = 512


def noise_people(folder: Path) -> Store:
    """People of noise in a memory map, all joints labelled."""
    shape = (_PEOPLE, 3, STORE_SIDE, STORE_SIDE)
    random = np.random.default_rng(0)
    crops = np.lib.format.open_memmap(folder / "noise.npy", mode="w+", dtype=np.uint8, shape=shape)
    crops[:] = random.integers(0, 256, shape, np.uint8)
    joints = random.uniform(60, 196, (_PEOPLE, len(BODY21), 2)).astype(np.float32)
    known = np.ones(joints.shape[:2], bool)
    people = People(
        pictures=tuple("noise" for _ in range(_PEOPLE)),
        sources=tuple("noise" for _ in range(_PEOPLE)),
        boxes=np.zeros((_PEOPLE, 4), np.float32),
        joints=joints,
        labelled=known,
        teacher=np.zeros((*known.shape, 3), np.float32),
    )
    return Store(crops, joints, known.astype(np.float32), people)


def measure(
    config: TrainConfig, size: int, device: str, rounds: int, steps: int
) -> dict[str, float]:
    """Pictures a second of the three, medians over the rounds."""
    network, skeleton = build_network(config)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisers = make_optimisers(network, config.optimiser)
    alone = Processes(0, 1, device)
    every_stack = alone.every_stack(network)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        every_stack = recorded(network, config.batch, size)

    def train(batches: Iterator[Batch]) -> None:
        for _ in range(steps):
            train_step(network, optimisers, next(batches), config, alone, every_stack)

    def drain(batches: Iterator[Batch]) -> None:
        for _ in range(steps):
            next(batches)

    def rate(work: Callable[[Iterator[Batch]], None], batches: Iterator[Batch]) -> float:
        synchronize(device)  # what was launched before is not this work's
        began = time.perf_counter()
        work(batches)
        synchronize(device)
        return steps * config.batch / (time.perf_counter() - began)

    found: dict[str, list[float]] = {"batches alone": [], "steps alone": [], "training": []}
    with tempfile.TemporaryDirectory(prefix="rtpose-") as name:
        store = noise_people(Path(name))
        crops_of = crops_reader(store, device)
        for _ in range(rounds):
            stream = stream_batches(store, crops_of, skeleton, config, 0, size)
            if on_gpu:
                stream = made_beside(stream, device)
            batch = next(stream)
            train_step(network, optimisers, batch, config, alone, every_stack)
            found["batches alone"].append(rate(drain, stream))
            found["training"].append(rate(train, stream))
            del stream
            found["steps alone"].append(rate(train, repeat(batch)))
    return {name: statistics.median(values) for name, values in found.items()}


def synchronize(device: str) -> None:
    """Wait for a GPU to have done all that it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main(
    config: Annotated[Path, typer.Option(help="Whose network and batch size.")] = Path(
        "training/configs/nano.yaml"
    ),
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 128,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    rounds: Annotated[int, typer.Option(help="Times that all is measured.")] = 3,
    steps: Annotated[int, typer.Option(help="Batches a time.")] = 12,
) -> None:
    """Measure, print and record."""
    device = select_device(device)
    settings = read_config(config)
    speeds = measure(settings, size, device, rounds, steps)
    record = here_and_now(device) | {
        "config": config.name,
        "size": size,
        "batch": settings.batch,
        "device": device,
        "images_per_s": {name: round(value, 1) for name, value in speeds.items()},
    }
    (RESULTS / f"training-{device}.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    typer.run(main)
