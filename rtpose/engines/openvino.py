"""OpenVINO: the fastest way to run the network on a CPU."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtpose.cache import find_entry, keep, network_hash
from rtpose.checkpoint import Checkpoint
from rtpose.cpu_precision import cpu_precision
from rtpose.engines import parity
from rtpose.engines.base import no_heatmaps
from rtpose.engines.batches import Batches
from rtpose.engines.eager import EagerEngine
from rtpose.engines.parity import Parity
from rtpose.heatmaps import HeatmapNetwork
from rtpose.openvino_model import compile_for_cpu, convert, processor

log = logging.getLogger(__name__)

_VERDICT = "parity.json"


class OpenVinoEngine:
    """OpenVINO on the CPU, in bfloat16 where that is quicker.

    bfloat16 is used as long as the answers stay those of the eager network; the first time that is
    checked. A single crop is computed by `threads_for_one` threads (None: one for every core),
    several by one for every core. The softmax over the heatmaps is left out of the graph, see
    `HeatmapNetwork.finish`.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: str | None = None,
        flip_test: bool = False,
        threads_for_one: int | None = None,
    ) -> None:
        self.input_size = side = checkpoint.input_size
        flip = checkpoint.skeleton.flip if flip_test else None
        self._threads_for_one = threads_for_one
        self._network = HeatmapNetwork(checkpoint.network, flip).eval()
        self._batches = Batches(self._run, lambda: no_heatmaps(checkpoint, "cpu"))
        example = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        graph = convert(_Logits(self._network).eval(), example, (-1, 3, side, side))
        self.precision = cpu_precision(precision)
        self._compile(graph)
        if precision is None and self.precision != "fp32":
            found = self._parity(checkpoint, flip_test)
            if not found.holds:
                log.warning(
                    "openvino: in %s the answers are not those of fp32 (%s): using fp32, which is "
                    "slower",
                    self.precision,
                    found,
                )
                self.precision = "fp32"
                self._compile(graph)

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        return self._batches(crops)

    def warm_up(self) -> None:
        """One crop through the network."""
        self(torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8))

    def _compile(self, graph: Any) -> None:
        side = self.input_size
        self._for_any = compile_for_cpu(graph, self.precision)
        self._for_one = compile_for_cpu(
            graph, self.precision, shape=(1, 3, side, side), threads=self._threads_for_one
        )

    def _run(self, crops: Tensor) -> Tensor:
        request = self._for_one if len(crops) == 1 else self._for_any
        outputs = request.infer([np.ascontiguousarray(crops.cpu().numpy())])
        return self._network.finish(torch.from_numpy(outputs[0]))

    def _parity(self, checkpoint: Checkpoint, flip_test: bool) -> Parity:
        """How the answers compare with eager's; asked once for this network and processor."""
        key = {
            "parity": self.precision,
            "network": network_hash(self._network),
            "size": str(self.input_size),
            "processor": processor(),
            "openvino": version("openvino"),
        }
        folder = find_entry("openvino", key)
        if folder is not None:
            return Parity(**json.loads((folder / _VERDICT).read_text()))
        found = parity.check(EagerEngine(checkpoint, "cpu", flip_test), self, self.input_size)
        keep(
            "openvino",
            key,
            lambda made: (made / _VERDICT).write_text(json.dumps(found.to_dict())),
        )
        return found


class _Logits(nn.Module):
    """The part of the network that is in the graph."""

    def __init__(self, network: HeatmapNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        return self.network.logits(crops)
