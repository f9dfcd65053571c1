"""PyTorch compiled in half precision and launched as CUDA graphs: GPUs without TensorRT."""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
import torch._dynamo
from torch import Tensor

from rtpose.checkpoint import Checkpoint
from rtpose.cuda_graph import CudaGraph
from rtpose.engines import parity
from rtpose.engines.base import no_heatmaps
from rtpose.engines.batches import BUCKETS, Batches, bucket_for
from rtpose.engines.eager import EagerEngine
from rtpose.engines.faults import is_out_of_memory
from rtpose.errors import RtposeError, first_line
from rtpose.heatmaps import HeatmapNetwork

log = logging.getLogger(__name__)

_COMPILATIONS = 10 * len(BUCKETS)
"""Enough for ten networks in one process, as benchmarks have them."""


class CompiledEngine:
    """torch.compile, float16, channels last, one CUDA graph for each of `BUCKETS`."""

    name = "compiled"
    precision = "fp16"

    def __init__(self, checkpoint: Checkpoint, device: str, flip_test: bool = False) -> None:
        self.device = device
        self.input_size = checkpoint.input_size
        self._checkpoint = checkpoint
        self._flip_test = flip_test
        flip = checkpoint.skeleton.flip if flip_test else None
        # a copy: halving works in place, and the checkpoint is the reference's too
        network = HeatmapNetwork(copy.deepcopy(checkpoint.network), flip).eval().half()
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
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
        """Compile, record all batch sizes that fit into memory, and compare with eager.

        Raises
        ------
        RtposeError
            If the answers are not those of the eager network.
        """
        for size in reversed(BUCKETS):
            if size <= self._batches.largest:
                log.info("compiled: compiling for %d people at once", size)
                self(torch.zeros(size, 3, self.input_size, self.input_size, dtype=torch.uint8))
        reference = EagerEngine(self._checkpoint, self.device, self._flip_test)
        found = parity.check(reference, self, self.input_size)
        if not found.holds:
            raise RtposeError(
                f"engine compiled: in fp16 this network answers otherwise than in fp32 ({found}); "
                "use --engine eager"
            )

    def _run(self, crops: Tensor) -> Tensor:
        size = bucket_for(len(crops))
        if size not in self._graphs:
            self._graphs[size] = self._record(size)
        return self._graphs[size](crops)

    def _record(self, size: int) -> CudaGraph:
        example = torch.zeros(
            size, 3, self.input_size, self.input_size, dtype=torch.half, device=self.device
        ).contiguous(memory_format=torch.channels_last)
        if self._pool is None:
            self._network = _compile(self._network, example)
            self._pool = torch.cuda.graph_pool_handle()
        return CudaGraph(self._network, example, self._pool)


def _compile(network: Any, example: Tensor) -> Any:
    """The network compiled, or as it is where PyTorch's compiler cannot run, which is said."""
    # each network is some compilations of the same code; past the limit (8 unless set) PyTorch
    # would run the rest as they are
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _COMPILATIONS)
    # for any number of crops: one compilation for each would be six, each of many seconds
    torch._dynamo.maybe_mark_dynamic(example, 0)
    compiled: Any = torch.compile(network, fullgraph=True)
    try:
        compiled(example)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        # no Triton, as on Windows, or no C compiler: graphs alone still spare the launches
        log.warning(
            "engine compiled: without torch.compile, which cannot run here: %s", first_line(error)
        )
        return network
    return compiled
