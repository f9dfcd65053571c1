"""What the NVIDIA driver says of this machine's GPUs, whether or not PyTorch can use them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU.

    Attributes
    ----------
    name : str
    driver : str
        The driver's version.
    """

    name: str
    driver: str


def installed_gpus() -> tuple[Gpu, ...]:
    """The GPUs that the driver's own tool lists; empty where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        done = subprocess.run(
            [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.rsplit(",", 1) for line in done.stdout.splitlines() if "," in line]
    return tuple(Gpu(name.strip(), driver.strip()) for name, driver in rows)


def unused_gpu() -> str | None:
    """Why PyTorch cannot use a GPU that is here, and what to do; None if none lies idle."""
    if torch.cuda.is_available() or not (gpus := installed_gpus()):
        return None
    gpu = gpus[0]
    if torch.version.cuda is None:
        return (
            f"{gpu.name} is not used: this PyTorch ({torch.__version__}) is built without CUDA; "
            "install the CUDA build of PyTorch"
        )
    return (
        f"{gpu.name} is not used: PyTorch {torch.__version__} cannot reach it through driver "
        f"{gpu.driver}; its CUDA {torch.version.cuda} may need a newer driver, or "
        "CUDA_VISIBLE_DEVICES hides the GPU"
    )
