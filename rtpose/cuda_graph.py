"""A network's work on inputs of one shape, recorded once on a GPU and launched as one."""

from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_WARM_UPS = 3
"""Runs before recording: libraries choose their kernels and allocate in the first ones."""


_recording = threading.Lock()
"""CUDA records for one thread at a time."""


class CudaGraph:
    """Replays a network on inputs that are copied to where it was recorded.

    torch.compile's own graphs (``mode="reduce-overhead"``) will not do: until PyTorch 2.13 they
    assert when they are replayed in another thread than the one that made them
    (pytorch/pytorch#123177), and networks here are warmed up in one and run in another.

    Parameters
    ----------
    network : callable
        Inputs to answers, no data-dependent control flow.
    example : (B, ...) Tensor
        On the GPU, with the shape, dtype and memory format that the network is to see.
    pool : tuple of int, or None
        Memory that several graphs share (`torch.cuda.graph_pool_handle`): only one of them is
        replayed at a time, and its result is copied out before the next. None is some of its own,
        for networks without matrix products: their stream is that of all others without a pool.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], example: Tensor, pool: Any) -> None:
        # the recording reads its weights where they lie, and does not keep them from being freed
        self._network = network
        self._inputs = example.clone()
        self._graph = torch.cuda.CUDAGraph()
        here, beside = torch.cuda.current_stream(), _capture_stream(example.device, pool)
        # where recording fails, it is the stream's `with` that gives the thread its own stream back
        with _recording, torch.cuda.stream(beside):
            beside.wait_stream(here)
            for _ in range(_WARM_UPS):
                network(self._inputs)
            here.wait_stream(beside)
            # thread_local: another thread may allocate meanwhile
            with (
                uncollected(),
                torch.cuda.graph(
                    self._graph, pool=pool, stream=beside, capture_error_mode="thread_local"
                ),
            ):
                self._answers = network(self._inputs)

    def __call__(self, inputs: Tensor) -> Tensor:
        """1 to B inputs, any device and dtype, to answers; what is in the other places stays."""
        count = len(inputs)
        self._inputs[:count].copy_(inputs, non_blocking=True)
        self._graph.replay()
        return self._answers[:count].clone()


@contextmanager
def uncollected() -> Iterator[None]:
    """Within it Python collects no garbage, in which graphs of engines that have gone may be.

    The end of a graph is not allowed while its thread records another, which is broken by it; from
    2.9 on PyTorch no longer collects garbage first (pytorch/pytorch#161037).
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@functools.cache
def _capture_stream(device: torch.device, pool: Any) -> torch.cuda.Stream:
    """One for each GPU and pool: PyTorch's own is of the GPU that recorded first, for ever.

    For each pool, for memory is shared on one stream only, and what cuBLAS works in, as it does for
    the detector's attention, is the stream's: PyTorch, 2.14 too, frees it with any graph that was
    recorded there, though others still use it (pytorch/pytorch#193402).
    """
    # PyTorch gives threads' streams out in turn, 32 of each priority: of another priority, this is
    # no thread's, whose work would be recorded too
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
