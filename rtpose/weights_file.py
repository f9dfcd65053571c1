"""Weights on disk, for both networks: safetensors in half precision, written whole or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from rtpose.errors import RtposeError


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors, half precision where they are floating point, replacing `path` atomically.

    Raises
    ------
    RtposeError
        If it cannot be written there.
    """
    halved = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }
    partial = path.with_suffix(".partial")
    try:
        # save_file would leave a file that nobody but its owner may read
        partial.write_bytes(save(halved, metadata))
        partial.replace(path)
    except OSError as error:
        raise RtposeError(
            f"{path}: cannot be written ({error}); check its folder and the space there"
        ) from error
