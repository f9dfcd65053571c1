"""What every engine is to the rest of the program."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rtpose.checkpoint import Checkpoint
from rtpose.network import STRIDE


class Engine(Protocol):
    """A pose network made ready to run on one device.

    Attributes
    ----------
    name : str
        As the user names it: ``eager``, ``graphs``, ``compiled``, ``tensorrt``, ``openvino``.
    device : str
        ``cpu`` or ``cuda:0``.
    precision : str
        Of the arithmetic: ``fp32``, ``fp16``, or one of `rtpose.cpu_precision.PRECISIONS`.
    input_size : int
        Side of the crops in pixels.
    """

    name: str
    device: str
    precision: str
    input_size: int

    def __call__(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 RGB crops to (N, K, S/4, S/4) float32 heatmaps; N may be 0.

        Crops may be on any device; heatmaps are on the engine's. The flip test, where the engine
        was made with it, is done. Not to be called from two threads at once.
        """
        ...

    def warm_up(self) -> None:
        """Do all that only the first call would do."""
        ...


def no_heatmaps(checkpoint: Checkpoint, device: str) -> Tensor:
    """The answer for no crops, (0, K, S/4, S/4)."""
    side = checkpoint.input_size // STRIDE
    return torch.zeros(0, len(checkpoint.skeleton), side, side, device=device)
