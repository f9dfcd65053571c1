"""Weights on disk, for both networks: safetensors in half precision, written whole or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from rtpose.errors import RtposeError
from rtpose.targets import write_whole


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors, half precision where they are floating point, replacing `path` atomically.

    Raises
    ------
    RtposeError
        If it cannot be written there, or a value is none that half precision has.
    """
    halved = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in tensors.items()
    }
    for name, tensor in halved.items():
        if not tensor.isfinite().all():
            raise RtposeError(
                f"{path}: not written, for {name} goes up to {tensors[name].abs().max():.3g}, "
                "beyond what half precision holds: train it with a lower rate or more weight decay"
            )
    try:
        # save_file would leave a file that nobody but its owner may read
        write_whole(path, save(halved, metadata))
    except OSError as error:
        raise RtposeError(
            f"{path}: cannot be written ({error}); check its folder and the space there"
        ) from error


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors as they stand in a file, and its metadata.

    Raises
    ------
    RtposeError
        If there is no such file, or it is no safetensors file.
    """
    if not path.is_file():
        raise RtposeError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise RtposeError(f"{path}: not a safetensors file: {error}") from error


def check_tensors(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """See that what was read from a file is what a network has.

    Raises
    ------
    RtposeError
        If a tensor is missing, surplus, of another shape or not finite; it is named.
    """
    for name in wanted:
        if name not in found:
            raise RtposeError(f"{path}: tensor {name} is missing")
        have, want = tuple(found[name].shape), tuple(wanted[name].shape)
        if have != want:
            raise RtposeError(f"{path}: tensor {name} has shape {have}, expected {want}")
    for name, tensor in found.items():
        if name not in wanted:
            raise RtposeError(f"{path}: tensor {name} does not belong to its architecture")
        if not tensor.isfinite().all():
            raise RtposeError(f"{path}: tensor {name} holds values that are not finite")
