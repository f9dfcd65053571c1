"""What training computes in: bfloat16 where the processor does, float32 elsewhere."""

from __future__ import annotations

from functools import cache

import torch

from rtpose.openvino_model import capabilities


@cache
def quick_dtype(device_type: str) -> torch.dtype:
    """bfloat16 or float32, whichever networks learn in sooner.

    A CPU without bfloat16's instructions computes in it all the same, element by element: where
    there is AVX2 alone, as in most laptops, a training step takes several times as long.

    Parameters
    ----------
    device_type : str
        ``cuda`` or ``cpu``, as of a `torch.device`.
    """
    if device_type != "cpu":
        return torch.bfloat16
    # PyTorch's own wants AVX512 beside it, where OpenVINO does with less
    quick = "BF16" in capabilities() and torch.backends.cpu.get_cpu_capability() != "AVX2"
    return torch.bfloat16 if quick else torch.float32


def mixed_precision(device_type: str) -> torch.autocast:
    """Within it convolutions are computed in `quick_dtype`."""
    quick = quick_dtype(device_type) is torch.bfloat16
    return torch.autocast(device_type, torch.bfloat16, enabled=quick)
