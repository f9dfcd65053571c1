"""Which NVIDIA GPUs this machine has, whether or not PyTorch can use them, and what computes."""

from __future__ import annotations

import functools
import logging
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from rtpose.errors import RtposeError, first_line
from rtpose.host import system_text

log = logging.getLogger(__name__)

_PCI = Path("/sys/bus/pci/devices")
"""What Linux found on the bus, for which it needs no driver; not there on other systems."""

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""How the PCI class of graphics and 3D cards begins; their sound has another."""

_PATIENCE_S = 20


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


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says.

    Attributes
    ----------
    gpus : tuple of Gpu
        Those it lists; none where there is no driver.
    fault : str, optional
        What its tool says instead of listing them.
    """

    gpus: tuple[Gpu, ...] = ()
    fault: str | None = None


@functools.cache
def ask_driver() -> Driver:
    """Ask the driver's own tool, once: a driver that is broken may take its time."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Driver()
    try:
        done = subprocess.run(
            [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=False, timeout=_PATIENCE_S,
        )  # fmt: skip
    except OSError as error:
        return Driver(fault=f"nvidia-smi cannot be run: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Driver(fault=f"nvidia-smi does not answer within {_PATIENCE_S} s")
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        said = lines[0].strip() if lines else f"exit code {done.returncode}"
        return Driver(fault=f"nvidia-smi fails: {said}")
    rows = [line.rsplit(",", 1) for line in done.stdout.splitlines() if "," in line]
    return Driver(tuple(Gpu(name.strip(), driver.strip()) for name, driver in rows))


def cards_on_the_bus() -> int:
    """How many NVIDIA GPUs Linux sees, with a driver or without; 0 on other systems."""
    return sum(
        system_text(device / "vendor") == _NVIDIA
        and system_text(device / "class").startswith(_DISPLAY)
        for device in _PCI.glob("*")
    )


def unused_gpu() -> str | None:
    """Why PyTorch cannot use a GPU that is here, and what to do; None if none lies idle."""
    if torch.cuda.is_available():
        return None
    driver = ask_driver()
    if driver.fault is not None:
        # where the driver is broken nobody knows whether a GPU is there, and most times one is
        return (
            f"no GPU is used: {driver.fault.rstrip('.')}; restart the machine, or install NVIDIA's "
            "driver again"
        )
    if not driver.gpus:
        if (cards := cards_on_the_bus()) == 0:
            return None
        found = "an NVIDIA GPU is" if cards == 1 else f"{cards} NVIDIA GPUs are"
        return (
            f"{found} in this machine and not used: there is no driver for it; install NVIDIA's "
            "driver, or let this container use it (docker run --gpus all)"
        )
    gpu = driver.gpus[0]
    if torch.version.cuda is None:
        return (
            f"{gpu.name} is not used: this PyTorch ({torch.__version__}) is built without CUDA; "
            "install the CUDA build of PyTorch"
        )
    return (
        f"{gpu.name} is not used: PyTorch {torch.__version__} cannot reach it through driver "
        f"{gpu.driver}; its CUDA {torch.version.cuda} may need a newer driver, "
        "CUDA_VISIBLE_DEVICES may hide the GPU, or where this machine has been asleep the driver "
        "has lost it: restart the machine"
    )


def no_answer(device: str) -> str | None:
    """Why a GPU that PyTorch lists computes nothing: too old for it, say, or another's alone."""
    try:
        torch.ones(1, device=device).add(1).item()
        # cuDNN gives up old GPUs before PyTorch's own kernels do
        weights = torch.ones(8, 8, 3, 3, dtype=torch.half, device=device)
        torch.nn.functional.conv2d(weights, weights).sum().item()
    except RuntimeError as error:
        return f"device {device} does not compute: {first_line(error)}"
    return None


def select_device(device: str) -> str:
    """``auto`` to the best device here; anything else is checked and returned.

    Raises
    ------
    RtposeError
        If the device is unknown, not on this machine, or does not compute.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            fault = unused_gpu()
        elif (fault := no_answer("cuda")) is None:
            return _numbered("cuda")
        if fault is not None:
            log.warning("%s. Going on with the CPU", fault)
        return "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError:
        raise RtposeError(f"unknown device {device!r}: choose auto, cpu or cuda") from None
    if kind.type == "cuda":
        count = torch.cuda.device_count()
        if not torch.cuda.is_available() or (kind.index or 0) >= count:
            advice = unused_gpu() or "use --device cpu, or install an NVIDIA driver"
            raise RtposeError(
                f"device {device}: PyTorch {torch.__version__} finds {count} CUDA GPUs here; "
                f"{advice}"
            )
        if (fault := no_answer(device)) is not None:
            raise RtposeError(f"{fault}; use another, or --device cpu")
        return _numbered(device)
    if kind.type != "cpu":
        raise RtposeError(f"device {device!r} is not supported: choose auto, cpu or cuda")
    # cpu:0 is the same
    return "cpu"


def _numbered(device: str) -> str:
    """``cuda`` with its number, for in another thread ``cuda`` may be another GPU."""
    return f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device
