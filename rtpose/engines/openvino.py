"""OpenVINO: the fastest way to run the network on a CPU."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from rtpose.checkpoint import Checkpoint
from rtpose.offline import import_openvino


class OpenVinoEngine:
    """OpenVINO on the CPU, in bfloat16 where the processor computes in it.

    The softmax of the heatmaps is left out of the network and done in float32: bfloat16 has eight
    bits, too few for probabilities of neighbouring cells to differ.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, checkpoint: Checkpoint) -> None:
        openvino = import_openvino()
        self.input_size = side = checkpoint.input_size
        self._joints = len(checkpoint.skeleton)
        core = openvino.Core()
        fast = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = "bf16" if fast else "fp32"
        network = _Logits(checkpoint.network).eval()
        example = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        model = openvino.convert_model(
            network, example_input=example, input=([-1, 3, side, side], openvino.Type.u8)
        )
        self._request = core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "bf16" if fast else "f32",
                "INFERENCE_NUM_THREADS": os.cpu_count() or 1,
            },
        ).create_infer_request()

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        if not len(crops):
            side = self.input_size // 4
            return torch.zeros(0, self._joints, side, side)
        outputs = self._request.infer([np.ascontiguousarray(crops.cpu().numpy())])
        logits = torch.from_numpy(outputs[0].astype(np.float32))
        return logits.flatten(2).softmax(dim=-1).view_as(logits)

    def warm_up(self) -> None:
        """One crop through the network."""
        self(torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8))


class _Logits(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network.every_stack(pixels.float())[-1]  # type: ignore[operator]
        return logits
