"""PyTorch networks on OpenVINO: converted once, kept on disk, compiled for this processor."""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor, nn

from rtpose.errors import RtposeError
from rtpose.offline import import_openvino

log = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16"}


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
    ov = import_openvino()
    folder = _cache_folder() / _key(network, example, shape)
    path = folder / "model.xml"
    if path.exists():
        try:
            return _core().read_model(path)
        except RuntimeError as error:
            log.warning("%s is damaged and made again (%s)", folder, str(error).splitlines()[0])
            shutil.rmtree(folder)
    with warnings.catch_warnings(), torch.inference_mode():
        # torch calls tracing deprecated, yet its successor takes twice as long here and fixes
        # the shape; the traced graph holds for every shape, and openvino reads it
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = ov.convert_model(traced, example_input=example)
    model.reshape(list(shape))
    _store(ov, model, folder)
    return model


def cpu_precision(precision: str | None = None) -> str:
    """The precision asked for, or the fastest of this processor.

    Parameters
    ----------
    precision : {"fp32", "bf16"}, optional
        None is bf16 where the processor has instructions for it, else fp32.

    Raises
    ------
    RtposeError
        If it is another.
    """
    if precision is None:
        capable = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if "BF16" in capable else "fp32"
    if precision not in _HINTS:
        raise RtposeError(f"openvino on the CPU computes in fp32 or bf16, not in {precision}")
    return precision


def compile_for_cpu(model: Any, precision: str, threads: int | None = None) -> Any:
    """An infer request for a converted network.

    Parameters
    ----------
    model : openvino.Model
    precision : str
        As `cpu_precision` gives it.
    threads : int, optional
        None is one for every core.
    """
    options = {
        # one picture at a time on all cores: a frame waits for its detector and its poses
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1,
    }
    return _core().compile_model(model, "CPU", options).create_infer_request()


@functools.cache
def _core() -> Any:
    """OpenVINO's one core of this process, kept to its end.

    Each core gives the calling thread a stack of its own for signal handlers, and takes it away
    when it goes: with several, the thread is left with one that is freed, and the next Ctrl-C or
    ended child process is a segmentation fault.
    """
    return import_openvino().Core()


def _cache_folder() -> Path:
    return Path(platformdirs.user_cache_path("rtpose")) / "openvino"


def _key(network: nn.Module, example: Tensor, shape: Sequence[int]) -> str:
    """A name for the graph that changes with all it depends on: weights, code, shape, versions."""
    key = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        key.update(name.encode())
        key.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    for source in sorted({inspect.getfile(type(module)) for module in network.modules()}):
        if Path(source).is_relative_to(Path(__file__).parent):
            key.update(Path(source).read_bytes())
    rest = [str(example.dtype), *map(str, shape), *map(version, ("openvino", "torch"))]
    key.update(" ".join(rest).encode())
    return key.hexdigest()[:24]


def _store(ov: Any, model: Any, folder: Path) -> None:
    """Write the graph so that it is there whole or not at all, also with two programs at it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
            made = Path(partial) / "made"
            made.mkdir()
            ov.save_model(model, made / "model.xml", compress_to_fp16=False)
            if not folder.exists():
                made.rename(folder)
    except OSError as error:
        log.info("the converted network is not kept: %s", error)
