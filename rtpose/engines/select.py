"""Choose the engine: what the user named or an error, else the fastest that can run here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch

from rtpose.checkpoint import Checkpoint
from rtpose.engines.base import Engine
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError

ENGINES = ("auto", "eager", "openvino")


@dataclass(frozen=True)
class Selection:
    """An engine and why it is this one.

    Attributes
    ----------
    engine : Engine
    reason : str
        One line for the log.
    """

    engine: Engine
    reason: str


def select_device(device: str) -> str:
    """``auto`` to the best device here; anything else is checked and returned.

    Raises
    ------
    RtposeError
        If the device is unknown or not on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError:
        raise RtposeError(f"unknown device {device!r}: choose auto, cpu or cuda") from None
    if kind.type == "cuda":
        count = torch.cuda.device_count()
        if not torch.cuda.is_available() or (kind.index or 0) >= count:
            raise RtposeError(
                f"device {device}: PyTorch {torch.__version__} finds {count} CUDA GPUs here; "
                "use --device cpu, or install an NVIDIA driver"
            )
    elif kind.type != "cpu":
        raise RtposeError(f"device {device!r} is not supported: choose auto, cpu or cuda")
    return device


def select_engine(name: str, checkpoint: Checkpoint, device: str) -> Selection:
    """Make the engine that the user named, or for ``auto`` the fastest that can run.

    Parameters
    ----------
    name : str
        One of `ENGINES`.
    checkpoint : Checkpoint
    device : str
        As `select_device` returns it.

    Raises
    ------
    RtposeError
        If a named engine is unknown or cannot run on this device.
    """
    if name not in ENGINES:
        raise RtposeError(f"unknown engine {name!r}: choose {', '.join(ENGINES)}")
    if name == "auto":
        if device != "cpu":
            return Selection(EagerEngine(checkpoint, device), f"{device} is there")
        if importlib.util.find_spec("openvino") is None:
            return Selection(EagerEngine(checkpoint, device), "openvino is not installed")
        return Selection(_openvino(checkpoint), "the fastest on a CPU")
    if name == "openvino":
        if device != "cpu":
            raise RtposeError(f"engine openvino runs on cpu, not on {device}; use --engine eager")
        return Selection(_openvino(checkpoint), "as asked")
    return Selection(EagerEngine(checkpoint, device), "as asked")


def _openvino(checkpoint: Checkpoint) -> Engine:
    if importlib.util.find_spec("openvino") is None:
        raise RtposeError("engine openvino: not installed; run: pip install openvino")
    # imported here: it takes a second, which no other engine should pay
    from rtpose.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(checkpoint)
