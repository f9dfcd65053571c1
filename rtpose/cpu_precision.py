"""In which precision a CPU computes the networks: the quicker one, measured once and kept.

That a processor has instructions for bfloat16 does not say that they are quick. On an AMD EPYC
they halve the time of both networks; on an Intel Xeon whose virtual machine hides AMX, and leaves
AVX512's, they take half as long again as float32.
"""

from __future__ import annotations

import functools
import os
import time
from importlib.metadata import version
from typing import Any

import numpy as np

from rtpose.cache import find_entry, keep
from rtpose.errors import RtposeError
from rtpose.offline import import_openvino
from rtpose.openvino_model import PRECISIONS, capabilities, compile_for_cpu, processor

_WORTHWHILE = 0.9
"""bfloat16 is the less exact one: part of float32's time that it may take at most."""

_TURNS = 7
_VERDICT = "precision.txt"


def cpu_precision(precision: str | None = None) -> str:
    """The precision asked for, or the quicker of this processor.

    Parameters
    ----------
    precision : {"fp32", "bf16"}, optional
        None is bf16 where the processor has instructions for it and they are quicker, else fp32.

    Raises
    ------
    RtposeError
        If it is another.
    """
    if precision is None:
        return _quicker() if "BF16" in capabilities() else "fp32"
    if precision not in PRECISIONS:
        raise RtposeError(f"openvino on the CPU computes in fp32 or bf16, not in {precision}")
    return precision


@functools.cache
def _quicker() -> str:
    key = {
        "quicker": "fp32 or bf16",
        "processor": processor(),
        # virtual machines hide some of what a processor of that name can do
        "capabilities": " ".join(sorted(capabilities())),
        "cores": str(os.cpu_count()),
        "openvino": version("openvino"),
    }
    folder = find_entry("openvino", key)
    if folder is not None:
        return (folder / _VERDICT).read_text()
    seconds = measure()
    found = "bf16" if seconds["bf16"] <= _WORTHWHILE * seconds["fp32"] else "fp32"
    keep("openvino", key, lambda made: (made / _VERDICT).write_text(found))
    return found


def measure() -> dict[str, float]:
    """Seconds that convolutions like the networks' take in each precision, on all cores.

    The best of some turns, taken by each precision after the other, so that what else the machine
    does meanwhile falls on both.
    """
    graph = _convolutions()
    requests = {precision: compile_for_cpu(graph, precision) for precision in PRECISIONS}
    pixels = np.ones(graph.input(0).shape, np.float32)
    best = dict.fromkeys(requests, float("inf"))
    for turn in range(_TURNS + 1):
        for precision, request in requests.items():
            began = time.perf_counter()
            request.infer([pixels])
            if turn:  # the first one makes room
                best[precision] = min(best[precision], time.perf_counter() - began)
    return best


def _convolutions(layers: int = 8, channels: int = 64, side: int = 32) -> Any:
    """A chain of the convolution that the networks spend most of their time in."""
    ov = import_openvino()
    ops = ov.opset13
    pixels = ops.parameter([1, channels, side, side], np.float32)
    weights = np.full((channels, channels, 3, 3), 1 / (9 * channels), np.float32)
    map_ = pixels
    for _ in range(layers):
        map_ = ops.relu(ops.convolution(map_, weights, [1, 1], [1, 1], [1, 1], [1, 1]))
    return ov.Model([map_], [pixels])
