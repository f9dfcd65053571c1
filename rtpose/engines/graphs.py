"""PyTorch in half precision, each batch size recorded as one CUDA graph: ready in a second."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rtpose.checkpoint import Checkpoint
from rtpose.cuda_graph import CudaGraph
from rtpose.engines import parity
from rtpose.engines.base import no_heatmaps
from rtpose.engines.batches import BUCKETS, Batches, bucket_for
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.heatmaps import HeatmapNetwork

log = logging.getLogger(__name__)


class GraphsEngine:
    """Float16, channels last, one CUDA graph for each of `BUCKETS`.

    What a launch costs the host, not arithmetic, is most of a few people's time on a GPU; recorded,
    two hundred launches are one.
    """

    name = "graphs"
    precision = "fp16"

    def __init__(self, checkpoint: Checkpoint, device: str, flip_test: bool = False) -> None:
        self.device = device
        self.input_size = checkpoint.input_size
        self._checkpoint = checkpoint
        self._flip_test = flip_test
        flip = checkpoint.skeleton.flip if flip_test else None
        # a copy: halving works in place, and the checkpoint is the reference's too
        network = HeatmapNetwork(copy.deepcopy(checkpoint.network), flip).eval().half()
        self._network: Callable[[Tensor], Tensor] = network.to(
            device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        self._graphs: dict[int, CudaGraph] = {}
        self._pool: Any = None
        self._batches = Batches(self._run, lambda: no_heatmaps(checkpoint, device))

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        with torch.cuda.device(self.device):
            return self._batches(crops)

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Record all batch sizes that fit into memory, and compare with eager.

        Raises
        ------
        RtposeError
            If the answers are not those of the eager network.
        """
        for size in reversed(BUCKETS):
            if size <= self._batches.largest:
                log.info("%s: recording %d people at once", self.name, size)
                self(torch.zeros(size, 3, self.input_size, self.input_size, dtype=torch.uint8))
        reference = EagerEngine(self._checkpoint, self.device, self._flip_test)
        found = parity.check(reference, self, self.input_size)
        if not found.holds:
            raise RtposeError(
                f"engine {self.name}: in fp16 this network answers otherwise than in fp32 "
                f"({found}); use --engine eager"
            )

    def _run(self, crops: Tensor) -> Tensor:
        size = bucket_for(len(crops))
        if size not in self._graphs:
            self._graphs[size] = self._record(size)
        return self._graphs[size](crops)

    def _record(self, size: int) -> CudaGraph:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return CudaGraph(self._network, self._example(size), self._pool)

    def _example(self, size: int) -> Tensor:
        crops = torch.zeros(
            size, 3, self.input_size, self.input_size, dtype=torch.half, device=self.device
        )
        return crops.contiguous(memory_format=torch.channels_last)
