"""What makes training quick on a GPU: recorded steps and teachers, batches made beside them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import cast

import torch
from torch import Tensor, nn

from rtpose.checkpoint import Checkpoint
from rtpose.cuda_graph import CudaGraph, uncollected
from rtpose.heatmaps import HeatmapNetwork
from rtpose.network import DCHourglass
from training.batches import Batch
from training.precision import mixed_precision, quick_dtype


def recorded(network: DCHourglass, batch: int, size: int) -> Callable[[Tensor], list[Tensor]]:
    """`network.every_stack` in `quick_dtype` and its gradients, recorded as CUDA graphs.

    One launch for each replaces thousands: without it an H200 waited for its host, and steps took
    130 to 240 ms whatever the size of the network and of the pictures.

    Parameters
    ----------
    network : DCHourglass
        In training mode, on a GPU. Its batch norm's statistics are left as they are.
    batch, size : int
        Pictures at a time, and their side in pixels: what is returned takes (batch, 3, size, size)
        uint8, channels last.
    """
    pictures = torch.zeros(batch, 3, size, size, dtype=torch.uint8, device=network.mean.device)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    before = [buffer.clone() for buffer in network.buffers()]
    # without autocast's cache: it would hold what is only of the recording. On the network's GPU:
    # PyTorch records on the one that is current
    with (
        uncollected(),
        torch.cuda.device(network.mean.device),
        mixed_precision("cuda", cache=False),
    ):
        graphed = torch.cuda.make_graphed_callables(EveryStack(network), (pictures,))
    with torch.no_grad():
        for buffer, value in zip(network.buffers(), before, strict=True):
            buffer.copy_(value)
    return cast("Callable[[Tensor], list[Tensor]]", graphed)


class EveryStack(nn.Module):
    """A network whose `forward` is `every_stack`, for what only watches `forward`."""

    def __init__(self, network: DCHourglass) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """See `rtpose.network.DCHourglass.every_stack`."""
        return self.network.every_stack(pictures)


class RecordedEngine:
    """A teacher as one CUDA graph; see `rtpose.engines.base.Engine`.

    As ``graphs`` is, but in `quick_dtype`, as training computes: what it gives may be beyond
    float16.

    Parameters
    ----------
    checkpoint : Checkpoint
    batch : int
        Crops at a time, at most.
    device : str
        A GPU.
    """

    name = "recorded"

    def __init__(self, checkpoint: Checkpoint, batch: int, device: str) -> None:
        self.device = device
        self.precision = "bf16" if quick_dtype("cuda") is torch.bfloat16 else "fp32"
        self.input_size = size = checkpoint.input_size
        network = HeatmapNetwork(copy.deepcopy(checkpoint.network)).eval()
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        pictures = torch.zeros(batch, 3, size, size, dtype=torch.uint8, device=device)

        def answer(crops: Tensor) -> Tensor:
            with mixed_precision("cuda", cache=False):
                return cast("Tensor", network(crops))

        with torch.cuda.device(device), torch.no_grad():
            channels_last = pictures.contiguous(memory_format=torch.channels_last)
            self._graph = CudaGraph(answer, channels_last, None)

    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        return self._graph(crops)

    def warm_up(self) -> None:
        """See `rtpose.engines.base.Engine`; recording did it."""


def made_beside(batches: Iterator[Batch], device: str) -> Iterator[Batch]:
    """The same batches, each made while the one before is learnt from.

    By a thread of its own, for a batch is some hundred launches, on a stream of its own.

    Parameters
    ----------
    batches : iterator of Batch
        Made when asked for, on the GPU.
    device : str
        That GPU.
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def make() -> Batch:
        with torch.cuda.device(device), torch.cuda.stream(stream):
            return next(batches)

    with ThreadPoolExecutor(1, "batches") as maker:
        coming = maker.submit(make)
        while True:
            batch = coming.result()
            here = torch.cuda.current_stream(device)
            here.wait_stream(stream)
            coming = maker.submit(make)
            for spec in fields(batch):
                tensor = getattr(batch, spec.name)
                if tensor.is_cuda:
                    tensor.record_stream(here)  # its memory is not given away before it was read
            yield batch
