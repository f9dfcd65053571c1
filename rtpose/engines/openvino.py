"""OpenVINO: the fastest way to run the network on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rtpose.checkpoint import Checkpoint
from rtpose.network import DCHourglass
from rtpose.openvino_model import compile_for_cpu, convert, cpu_precision


class OpenVinoEngine:
    """OpenVINO on the CPU, in bfloat16 where the processor computes in it.

    The softmax over the heatmaps is left out of the graph and done in float32: bfloat16 has eight
    bits, too few to tell probabilities of neighbouring cells apart.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, checkpoint: Checkpoint, precision: str | None = None) -> None:
        self.input_size = side = checkpoint.input_size
        self._joints = len(checkpoint.skeleton)
        example = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        graph = convert(_Logits(checkpoint.network).eval(), example, (-1, 3, side, side))
        self.precision = cpu_precision(precision)
        self._request = compile_for_cpu(graph, self.precision)

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        if not len(crops):
            side = self.input_size // 4
            return torch.zeros(0, self._joints, side, side)
        outputs = self._request.infer([np.ascontiguousarray(crops.cpu().numpy())])
        logits = torch.from_numpy(outputs[0])
        return logits.flatten(2).softmax(dim=-1).view_as(logits)

    def warm_up(self) -> None:
        """One crop through the network."""
        self(torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8))


class _Logits(nn.Module):
    """The network up to the last stack's logits."""

    def __init__(self, network: DCHourglass) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.every_stack(pixels)[-1]
