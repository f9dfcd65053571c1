"""What TensorRT and torch-tensorrt say of failures: kept as errors instead of printed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from rtpose.engines.faults import is_out_of_memory
from rtpose.errors import first_line

log = logging.getLogger(__name__)

_TENSORRT = "torch_tensorrt [TensorRT Conversion Context]"
"""Where torch-tensorrt sends TensorRT's own words: not below ``torch_tensorrt``, for want of a dot.
"""


class TensorRtError(Exception):
    """An error that TensorRT logs and does not raise: its calls then return nothing."""


@contextmanager
def listen() -> Iterator[list[BaseException]]:
    """Keep both from logging errors with their tracebacks, and give what they would have logged.

    Most torch-tensorrt raises all the same. Version 2.11 only logs why an engine cannot be built,
    and then fails for lack of it. TensorRT itself raises nothing: lack of memory is a line in the
    log and None for an engine.
    """
    heard: list[BaseException] = []

    def keep_cause(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1]:
            heard.append(record.exc_info[1])
        return False

    def keep_words(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        _hear(heard, record.getMessage())
        return False

    whole = logging.getLogger("torch_tensorrt")
    compiler = logging.getLogger("torch_tensorrt.dynamo._compiler")
    tensorrt = logging.getLogger(_TENSORRT)
    levels = whole.level, compiler.level
    whole.setLevel(logging.CRITICAL)
    compiler.setLevel(logging.ERROR)
    compiler.addFilter(keep_cause)
    tensorrt.addFilter(keep_words)
    try:
        yield heard
    finally:
        tensorrt.removeFilter(keep_words)
        compiler.removeFilter(keep_cause)
        whole.setLevel(levels[0])
        compiler.setLevel(levels[1])


def error_logger(trt: Any, heard: list[BaseException]) -> Any:
    """A logger for TensorRT's objects that adds their errors to `heard`.

    Parameters
    ----------
    trt : module
        ``tensorrt``, which must not be imported before torch-tensorrt has chosen which it is.
    heard : list
    """
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            # not super(): TensorRT's binding asks for the base by name
            trt.ILogger.__init__(self)

        def log(self, level: Any, message: str) -> None:
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                _hear(heard, message)

    return Logger()


def said_error(what: str, heard: list[BaseException]) -> RuntimeError:
    """What a call failed of that gave nothing: lack of memory, or what TensorRT last said."""
    for each in heard:
        if is_out_of_memory(each):
            return torch.OutOfMemoryError(f"{what}: {first_line(each)}")
    return RuntimeError(": ".join([what, *map(first_line, heard[-1:])]))


def _hear(heard: list[BaseException], message: str) -> None:
    # not every one of them is the end: a kernel that finds no room is passed over
    log.debug("TensorRT: %s", message)
    heard.append(TensorRtError(message.strip()))
