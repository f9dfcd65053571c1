"""What training computes in: bfloat16 where the processor does, float32 elsewhere."""

from __future__ import annotations

from functools import cache

import torch

from rtpose.openvino_model import capabilities


@cache
def quick_dtype(device_type: str) -> torch.dtype:
    """bfloat16 or float32, whichever networks learn in sooner.

    A CPU without bfloat16's instructions computes in it all the same, element by element: where
    there is AVX2 alone, as in most laptops, a training step takes several times as long. So does
    an older GPU.

    Parameters
    ----------
    device_type : str
        ``cuda`` or ``cpu``, as of a `torch.device`.
    """
    if device_type != "cpu":
        # of GPUs before Ampere cuDNN has no convolutions in it, and PyTorch's own, picture by
        # picture, take many times as long as float32's
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    # PyTorch's own wants AVX512 beside it, where OpenVINO does with less
    quick = "BF16" in capabilities() and torch.backends.cpu.get_cpu_capability() != "AVX2"
    return torch.bfloat16 if quick else torch.float32


def mixed_precision(device_type: str, cache: bool | None = None) -> torch.autocast:
    """Within it convolutions are computed in `quick_dtype`.

    Parameters
    ----------
    device_type : str
    cache : bool, optional
        Whether weights in `quick_dtype` are kept until its end; None is what PyTorch is set to.
    """
    quick = quick_dtype(device_type) is torch.bfloat16
    return torch.autocast(device_type, torch.bfloat16, enabled=quick, cache_enabled=cache)
