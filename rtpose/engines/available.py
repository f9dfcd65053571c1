"""Which engines can run here, and what is missing for the others."""

from __future__ import annotations

import functools
import importlib
import sys
from contextlib import redirect_stdout

import torch

from rtpose.errors import first_line
from rtpose.gpu import no_answer, unused_gpu
from rtpose.host import installed_version
from rtpose.openvino_model import why_no_openvino

ENGINES = ("tensorrt", "compiled", "graphs", "openvino", "eager")
"""Fastest first."""

_TORCH_TENSORRT = ("torch-tensorrt", "torch-tensorrt-rtx")
_TENSORRT = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt_rtx")
"""The ordinary ones, and those for consumer GPUs, under the same import names."""


def why_not(engine: str, device: str) -> str | None:
    """What keeps an engine from running on a device, and what to do; None if it can run.

    Parameters
    ----------
    engine : str
        One of `ENGINES`.
    device : str
        As `rtpose.gpu.select_device` returns it.
    """
    if engine == "openvino":
        if device != "cpu":
            return f"runs on cpu, not on {device}; add --device cpu"
        return why_no_openvino()
    if engine in ("tensorrt", "compiled", "graphs") and device == "cpu":
        return f"runs on NVIDIA GPUs only; {_no_gpu()}"
    if engine == "tensorrt":
        return why_no_tensorrt()
    return None


def why_no_tensorrt() -> str | None:
    """What is missing for TensorRT, a GPU aside."""
    ours = _major_minor(torch.__version__)
    name = next((n for n in _TORCH_TENSORRT if installed_version(n)), None)
    install = f'run: pip install "torch-tensorrt=={ours}.*"'
    if name is None:
        return f"torch-tensorrt is not installed; {install}"
    theirs = _major_minor(installed_version(name) or "")
    if theirs != ours:
        return f"{name} {theirs} does not fit PyTorch {ours}; {install}"
    return _import_fault()


def tensorrt_packages() -> dict[str, str]:
    """Name and version of what is installed of TensorRT."""
    packages = {name: installed_version(name) for name in (*_TORCH_TENSORRT, *_TENSORRT)}
    return {name: found for name, found in packages.items() if found}


@functools.cache
def _import_fault() -> str | None:
    try:
        # where its libraries fail it prints, into what may be --json
        with redirect_stdout(sys.stderr):
            importlib.import_module("torch_tensorrt")
    except Exception as error:  # noqa: BLE001  a missing library raises a bare Exception
        return f"torch-tensorrt cannot be imported: {first_line(error)}; install it again"
    return None


def _no_gpu() -> str:
    if torch.cuda.is_available():
        return no_answer("cuda") or "add --device cuda"
    return unused_gpu() or (
        "this machine has none that a driver knows of: install NVIDIA's driver, or use "
        "--engine openvino"
    )


def _major_minor(text: str) -> str:
    return ".".join(text.split(".")[:2])
