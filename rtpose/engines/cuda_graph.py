"""A network's work at one batch size, recorded once and launched as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_WARM_UPS = 3
"""Runs before recording: libraries choose their kernels and allocate in the first ones."""


class CudaGraph:
    """Replays a network on crops that are copied to where it was recorded.

    torch.compile's own graphs (``mode="reduce-overhead"``) will not do: until PyTorch 2.13 they
    assert when they are replayed in another thread than the one that made them
    (pytorch/pytorch#123177), and networks here are warmed up in one and run in another.

    Parameters
    ----------
    network : callable
        Crops to heatmaps, no data-dependent control flow.
    example : (B, 3, S, S) Tensor
        On the GPU, with the dtype and memory format that the network is to see.
    pool : optional
        Memory that several graphs share (`torch.cuda.graph_pool_handle`): only one of them is
        replayed at a time, and its result is copied out before the next.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], example: Tensor, pool: Any) -> None:
        self._crops = example.clone()
        here, beside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                network(self._crops)
        here.wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: a detector in another thread may allocate meanwhile
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._heatmaps = network(self._crops)

    def __call__(self, crops: Tensor) -> Tensor:
        """1 to B crops, any device and dtype, to heatmaps; what is in the other places stays."""
        count = len(crops)
        self._crops[:count].copy_(crops, non_blocking=True)
        self._graph.replay()
        return self._heatmaps[:count].clone()
