"""PyTorch networks on OpenVINO: converted once, kept on disk, compiled for this processor."""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtpose.cache import keep, network_hash, read_as
from rtpose.errors import first_line
from rtpose.offline import import_openvino

_GRAPH, _WEIGHTS = "model.xml", "model.bin"
_COMPILED = "compiled.blob"
_MADE_FROM = "rtpose_made_from"
"""Where a graph says what it was converted from."""

_RECIPE = "1"
"""To be raised when how a network is traced, converted or compiled changes: with its own code, the
libraries' versions and the options, which are in the keys as well, that is all its graph is of."""

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32", "int8+bf16": "bf16"}
"""Of what is computed in float; what is in eight bits the graph says, see `rtpose.quantised`."""


@functools.cache
def why_no_openvino() -> str | None:
    """What keeps OpenVINO from computing here, and what to do; None if it does."""
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed; run: pip install openvino"
    try:
        # what is installed need not import, and what imports need not find its part for CPUs
        capabilities()
    except Exception as error:  # noqa: BLE001  whatever a library that is broken raises
        return f"openvino cannot be used: {first_line(error)}; install it again"
    return None


def convert(network: nn.Module, example: Tensor, shape: Sequence[int]) -> Any:
    """The network as an OpenVINO graph, from the cache if it was converted before.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU, with one input and one output.
    example : Tensor
        An input to trace the network with; the graph's input gets its dtype.
    shape : sequence of int
        The graph's input shape, -1 where it may vary.

    Returns
    -------
    openvino.Model
    """
    key = {
        "recipe": _RECIPE,
        "network": network_hash(network),
        "input": f"{str(example.dtype).removeprefix('torch.')} {tuple(shape)}",
        **{name: version(name) for name in ("openvino", "torch")},
    }
    model = _read_kept(key)
    if model is None:
        made = trace(network, example, shape)
        keep("openvino", key, lambda folder: save_model(made, folder / _GRAPH))
        # read back, as what was written rounds a little otherwise: all starts shall answer alike
        model = _read_kept(key) or made
    model.set_rt_info(json.dumps(key), _MADE_FROM)
    return model


def _read_kept(key: Mapping[str, str]) -> Any | None:
    return read_as("openvino", key, lambda kept: _core().read_model(kept[_GRAPH], kept[_WEIGHTS]))


def trace(network: nn.Module, example: Tensor, shape: Sequence[int]) -> Any:
    """What `convert` gives, made anew."""
    ov = import_openvino()
    with warnings.catch_warnings(), torch.inference_mode():
        # torch calls tracing deprecated, yet its successor takes twice as long here and fixes
        # the shape; the traced graph holds for every shape, and openvino reads it
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        with redirect_stdout(io.StringIO()):  # it takes a --verbose that is ours for its own
            model = ov.convert_model(traced, example_input=example)
    model.reshape(list(shape))
    return model


def save_model(model: Any, path: Path) -> None:
    """Write a graph, ``.xml`` with its weights in a ``.bin`` beside it, in full precision."""
    import_openvino().save_model(model, path, compress_to_fp16=False)


def read_model(path: Path) -> Any:
    """A graph that was saved, as an openvino.Model; RuntimeError if it is none."""
    return _core().read_model(path)


def capabilities() -> tuple[str, ...]:
    """What the CPU computes in, as OpenVINO has it: ``FP32``, ``BF16`` and others."""
    return tuple(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def what_computes() -> dict[str, str]:
    """The CPU and OpenVINO, as part of a key of what was made or measured with them."""
    return {
        "processor": str(_core().get_property("CPU", "FULL_DEVICE_NAME")),
        # virtual machines hide some of what a processor of that name can do
        "capabilities": " ".join(sorted(capabilities())),
        "openvino": version("openvino"),
    }


def compile_for_cpu(
    model: Any,
    precision: str,
    *,
    shape: Sequence[int] | None = None,
    threads: int | None = None,
) -> Any:
    """An infer request for a network, from the cache if it was compiled before.

    Compiling takes a second for eight bits, reading what was compiled a third of that.

    Parameters
    ----------
    model : openvino.Model
        What `convert` gave. One from elsewhere is compiled anew each time.
    precision : str
        One of `rtpose.cpu_precision.PRECISIONS`.
    shape : sequence of int, optional
        Of the only input it will get, which lets openvino plan all memory ahead: for one crop
        nano and small take a fifth less time so. None is the model's own.
    threads : int, optional
        None is one for every core.
    """
    options = {
        # one picture at a time on all cores: a frame waits for its detector and its poses
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1,
        # the other network and the codecs want the same cores: threads that may move made the
        # whole pipeline 0.99 to 1.4 times as fast on two cores, seven of eight times faster
        "ENABLE_CPU_PINNING": False,
    }
    if shape is not None:
        model = model.clone()
        model.reshape(list(shape))
    return _compile(model, options).create_infer_request()


def _compile(model: Any, options: Mapping[str, Any]) -> Any:
    if not model.has_rt_info(_MADE_FROM):
        return _core().compile_model(model, "CPU", options)
    key = {
        **json.loads(model.get_rt_info(_MADE_FROM).astype(str)),
        "compiled": json.dumps(options),
        "shape": str(model.input().partial_shape),
        **what_computes(),
    }
    compiled = read_as(
        "openvino", key, lambda kept: _core().import_model(kept[_COMPILED], "CPU", options)
    )
    if compiled is not None:
        return compiled
    compiled = _core().compile_model(model, "CPU", options)
    keep(
        "openvino",
        key,
        lambda made: (made / _COMPILED).write_bytes(compiled.export_model().getvalue()),
    )
    return compiled


@functools.cache
def _core() -> Any:
    """OpenVINO's one core of this process, kept to its end.

    Each core gives the calling thread a stack of its own for signal handlers, and takes it away
    when it goes: with several, the thread is left with one that is freed, and the next Ctrl-C or
    ended child process is a segmentation fault.
    """
    return import_openvino().Core()
