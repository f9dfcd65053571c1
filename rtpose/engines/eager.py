"""The network as PyTorch runs it: the reference that every other engine is tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from rtpose.checkpoint import Checkpoint


class EagerEngine:
    """PyTorch, operation by operation, float32."""

    name = "eager"
    precision = "fp32"

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.device = device
        self.input_size = checkpoint.input_size
        self._joints = len(checkpoint.skeleton)
        # channels last is a quarter faster on CPUs and what the tensor cores of GPUs want
        self._network = checkpoint.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        if not len(crops):
            side = self.input_size // 4
            return torch.zeros(0, self._joints, side, side, device=self.device)
        crops = crops.to(self.device).contiguous(memory_format=torch.channels_last)
        heatmaps: Tensor = self._network(crops)
        return heatmaps

    def warm_up(self) -> None:
        """One crop through the network."""
        self(torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8))
