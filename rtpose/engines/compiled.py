"""What `graphs` records, by torch.compile first: slow to start, for hours of video."""

from __future__ import annotations

import torch
import torch._dynamo

from rtpose.checkpoint import Checkpoint
from rtpose.cuda_graph import CudaGraph
from rtpose.engines.batches import BUCKETS
from rtpose.engines.faults import is_out_of_memory
from rtpose.engines.graphs import GraphsEngine
from rtpose.errors import RtposeError, first_line

_COMPILATIONS = 10 * len(BUCKETS)
"""Enough for ten networks in one process, as benchmarks have them."""


class CompiledEngine(GraphsEngine):
    """`GraphsEngine` of the compiled network.

    Not chosen by itself: compiling took half a minute to a minute at every start, and uncompiled
    an H100 answers to 128 crops in 7 ms (nano) to 34 ms (base).
    """

    name = "compiled"

    def __init__(self, checkpoint: Checkpoint, device: str, flip_test: bool = False) -> None:
        super().__init__(checkpoint, device, flip_test)
        # each network is some compilations of the same code; past the limit (8 unless set) PyTorch
        # would run the rest as they are
        config = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, _COMPILATIONS)
        self._network = torch.compile(self._network, fullgraph=True)

    def _record(self, size: int) -> CudaGraph:
        if not self._graphs:
            self._compile(size)
        return super()._record(size)

    def _compile(self, size: int) -> None:
        example = self._example(size)
        # for any number of crops: one compilation for each would be six, each of many seconds
        torch._dynamo.maybe_mark_dynamic(example, 0)
        try:
            self._network(example)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            # no Triton, as on Windows, or no C compiler
            raise RtposeError(
                f"engine compiled: torch.compile cannot run here ({first_line(error)}); "
                "use --engine graphs"
            ) from error
