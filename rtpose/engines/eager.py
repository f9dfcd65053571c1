"""The network as PyTorch runs it: the reference that every other engine is tested against."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from rtpose.checkpoint import Checkpoint
from rtpose.engines.base import no_heatmaps
from rtpose.engines.batches import Batches
from rtpose.heatmaps import HeatmapNetwork


class EagerEngine:
    """PyTorch, operation by operation, float32.

    Making one switches cuDNN's TensorFloat-32 off for the whole process: it is on by default, and
    a reference whose convolutions round to 10 bits is none.
    """

    name = "eager"
    precision = "fp32"

    def __init__(
        self, checkpoint: Checkpoint, device: str = "cpu", flip_test: bool = False
    ) -> None:
        self.device = device
        # for good: around each call, another thread could switch it back in the middle
        torch.backends.cudnn.allow_tf32 = False
        self.input_size = checkpoint.input_size
        flip = checkpoint.skeleton.flip if flip_test else None
        # moving works in place, and the checkpoint stays on the host
        network = checkpoint.network if device == "cpu" else copy.deepcopy(checkpoint.network)
        heatmaps = HeatmapNetwork(network, flip).eval()
        # channels last is a quarter faster on CPUs and what the tensor cores of GPUs want
        self._network = heatmaps.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batches = Batches(self._run, lambda: no_heatmaps(checkpoint, device))

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        return self._batches(crops)

    def warm_up(self) -> None:
        """One crop through the network."""
        self(torch.zeros(1, 3, self.input_size, self.input_size, dtype=torch.uint8))

    def _run(self, crops: Tensor) -> Tensor:
        heatmaps: Tensor = self._network(
            crops.to(self.device).contiguous(memory_format=torch.channels_last)
        )
        return heatmaps
