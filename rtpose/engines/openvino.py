"""OpenVINO: the fastest way to run the network on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rtpose.checkpoint import Checkpoint
from rtpose.engines.base import no_heatmaps
from rtpose.engines.batches import Batches
from rtpose.heatmaps import HeatmapNetwork
from rtpose.openvino_model import compile_for_cpu, convert, cpu_precision


class OpenVinoEngine:
    """OpenVINO on the CPU, in bfloat16 where the processor computes in it.

    The softmax over the heatmaps is left out of the graph, see `HeatmapNetwork.finish`.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self, checkpoint: Checkpoint, precision: str | None = None, flip_test: bool = False
    ) -> None:
        self.input_size = side = checkpoint.input_size
        flip = checkpoint.skeleton.flip if flip_test else None
        self._network = HeatmapNetwork(checkpoint.network, flip).eval()
        self._batches = Batches(self._run, lambda: no_heatmaps(checkpoint, "cpu"))
        example = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        graph = convert(_Logits(self._network).eval(), example, (-1, 3, side, side))
        self.precision = cpu_precision(precision)
        self._request = compile_for_cpu(graph, self.precision)

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        return self._batches(crops)

    def warm_up(self) -> None:
        """One crop through the network."""
        self(torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8))

    def _run(self, crops: Tensor) -> Tensor:
        outputs = self._request.infer([np.ascontiguousarray(crops.cpu().numpy())])
        return self._network.finish(torch.from_numpy(outputs[0]))


class _Logits(nn.Module):
    """The part of the network that is in the graph."""

    def __init__(self, network: HeatmapNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        return self.network.logits(crops)
