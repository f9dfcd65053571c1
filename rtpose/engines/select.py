"""Choose the engine: what the user named or an error, else the fastest that can run here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rtpose.checkpoint import Checkpoint
from rtpose.engines.available import ENGINES, why_not
from rtpose.engines.base import Engine
from rtpose.engines.eager import EagerEngine
from rtpose.engines.faults import is_out_of_memory
from rtpose.errors import RtposeError, first_line

log = logging.getLogger(__name__)

_ON_GPU = ("tensorrt", "graphs", "eager")
_ON_CPU = ("openvino", "eager")


@dataclass(frozen=True)
class Selection:
    """An engine and why it is this one.

    Attributes
    ----------
    engine : Engine
    reason : str
        One line for people.
    """

    engine: Engine
    reason: str


def select_engine(
    name: str,
    checkpoint: Checkpoint,
    device: str,
    flip_test: bool = False,
    threads_for_few: int | None = None,
) -> Selection:
    """Make and warm up the engine that the user named, or for ``auto`` the fastest that can run.

    Parameters
    ----------
    name : str
        ``auto`` or one of `rtpose.engines.available.ENGINES`.
    checkpoint : Checkpoint
    device : str
        As `rtpose.gpu.select_device` returns it.
    flip_test : bool
        Also run every crop's mirror image and average.
    threads_for_few : int, optional
        CPU threads of OpenVINO for one or two crops; None is one for every core.

    Raises
    ------
    RtposeError
        If a named engine is unknown, cannot run on this device, or fails its own checks.
    """

    def ready(name: str) -> Engine:
        try:
            engine = _make(name, checkpoint, device, flip_test, threads_for_few)
            # only now it shows whether the network converts and the answers are right
            engine.warm_up()
        except (RuntimeError, ImportError) as error:
            # the libraries' own; where memory ran out the next engine would need more
            if is_out_of_memory(error):
                raise
            raise RtposeError(f"engine {name}: {first_line(error)}") from error
        return engine

    if name == "auto":
        return _fastest(ready, device)
    if name not in ENGINES:
        raise RtposeError(f"unknown engine {name!r}: choose auto, {', '.join(ENGINES)}")
    fault = why_not(name, device)
    if fault is not None:
        raise RtposeError(f"engine {name}: {fault}")
    return Selection(ready(name), "as asked")


def _fastest(ready: Callable[[str], Engine], device: str) -> Selection:
    missing: list[str] = []
    for name in _ON_CPU if device == "cpu" else _ON_GPU:
        fault = why_not(name, device)
        if fault is None:
            try:
                engine = ready(name)
            except RtposeError as error:
                if name == "eager":
                    raise
                fault = str(error)
                log.warning("%s. Going on with the next engine", fault)
            else:
                reason = "; ".join(["the fastest that can run here", *missing])
                return Selection(engine, reason)
        missing.append(f"no {name}: {fault}")
    raise AssertionError("eager runs everywhere")


def _make(
    name: str, checkpoint: Checkpoint, device: str, flip_test: bool, threads_for_few: int | None
) -> Engine:
    # imported here: each takes a second or more, which no other engine should pay
    if name == "tensorrt":
        from rtpose.engines.tensorrt import TensorRtEngine

        return TensorRtEngine(checkpoint, device, flip_test)
    if name == "compiled":
        from rtpose.engines.compiled import CompiledEngine

        return CompiledEngine(checkpoint, device, flip_test)
    if name == "graphs":
        from rtpose.engines.graphs import GraphsEngine

        return GraphsEngine(checkpoint, device, flip_test)
    if name == "openvino":
        from rtpose.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(checkpoint, flip_test=flip_test, threads_for_few=threads_for_few)
    return EagerEngine(checkpoint, device, flip_test)
