"""TensorRT engines made by torch-tensorrt: built once for this GPU, checked, and kept on disk."""

from __future__ import annotations

import copy
import gc
import json
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtpose.cache import discard, keep, network_hash, read_as, read_entry
from rtpose.checkpoint import Checkpoint
from rtpose.cuda_graph import CudaGraph
from rtpose.engines import parity
from rtpose.engines.available import tensorrt_packages
from rtpose.engines.base import no_heatmaps
from rtpose.engines.batches import BUCKETS, Batches, bucket_for, pad
from rtpose.engines.eager import EagerEngine
from rtpose.engines.faults import is_out_of_memory
from rtpose.engines.parity import Parity
from rtpose.engines.tensorrt_log import TensorRtError, error_logger, listen, said_error
from rtpose.errors import RtposeError, first_line
from rtpose.heatmaps import HeatmapNetwork

log = logging.getLogger(__name__)

_ENGINE, _VERDICT = "engine.trt", "parity.json"
_RECIPE = 1
"""To be raised when `build` asks torch-tensorrt for other settings: nothing else of an engine's key
changes then, and one that was kept would be used as if it had them."""

_TYPES = {"fp16": torch.half, "fp32": torch.float}


@dataclass(frozen=True)
class Built:
    """A TensorRT engine for one batch size, and how its answers compare with eager's."""

    serialized: bytes
    found: Parity


class TensorRtEngine:
    """One TensorRT engine for each of `BUCKETS`, float16, or float32 if float16 is too coarse.

    Whole network, softmax and flip test are in the engine: conversion fails rather than leave a
    part to PyTorch. Precision is that of the weights (TensorRT's strong typing), so the softmax
    stays float32.
    """

    name = "tensorrt"

    def __init__(self, checkpoint: Checkpoint, device: str, flip_test: bool = False) -> None:
        self.device = device
        self.input_size = checkpoint.input_size
        self.precision = "fp16"
        self._checkpoint = checkpoint
        self._flip_test = flip_test
        flip = checkpoint.skeleton.flip if flip_test else None
        # a copy on the host: it is halved and moved for building only
        self._network = HeatmapNetwork(copy.deepcopy(checkpoint.network).cpu(), flip).eval()
        self._hash = network_hash(self._network)
        self._engines: dict[int, Callable[[Tensor], Tensor]] = {}
        self._batches = Batches(self._run, lambda: no_heatmaps(checkpoint, device))

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """See `rtpose.engines.base.Engine`."""
        with torch.cuda.device(self.device):
            return self._batches(crops)

    def warm_up(self) -> None:
        """Load or build the engines of all batch sizes; building takes minutes, and says so.

        Raises
        ------
        RtposeError
            If the network cannot be converted, or its answers are not those of eager.
        """
        precision = None
        # the fall to float32 at one size drops the smaller ones that were there in float16
        while precision != self.precision:
            precision = self.precision
            for size in BUCKETS:
                if size <= self._batches.largest:
                    self(torch.zeros(size, 3, self.input_size, self.input_size, dtype=torch.uint8))

    def _run(self, crops: Tensor) -> Tensor:
        return self._engine(bucket_for(len(crops)))(crops)

    def _engine(self, size: int) -> Callable[[Tensor], Tensor]:
        while size not in self._engines:
            key = engine_key(self._hash, self._shape(size), self.precision, self.device)
            built = _load(key) or self._build(size, key)
            if built.found.holds:
                # TensorRT allocates by itself and cannot use what PyTorch only holds back
                torch.cuda.empty_cache()
                try:
                    self._engines[size] = self._ready(built.serialized, size)
                except _UnreadableError as error:
                    # its hash was right, so TensorRT has changed under its version
                    discard("tensorrt", key, f"unreadable ({error})")
                    if read_entry("tensorrt", key) is not None:
                        raise RtposeError(
                            f"engine tensorrt: {error}, and the kept engine cannot be removed: "
                            "remove it (rtpose cache lists it), or use --engine graphs"
                        ) from error
            elif self.precision == "fp16":
                log.warning(
                    "tensorrt: in fp16 the answers are not those of fp32 (%s): using fp32, which "
                    "is slower",
                    built.found,
                )
                self.precision = "fp32"
                self._engines.clear()
            else:
                raise RtposeError(
                    f"engine tensorrt: its answers are not those of eager, also in fp32 "
                    f"({built.found}); use --engine graphs"
                )
        return self._engines[size]

    # exporting traces the network, and tensors made in inference mode know nothing of that
    @torch.inference_mode(False)
    def _build(self, size: int, key: dict[str, str]) -> Built:
        place = f"{BUCKETS.index(size) + 1} of {len(BUCKETS)}"
        log.info(
            "tensorrt: building the %s engine for %d people (%s), once for this GPU: minutes",
            self.precision, size, place,
        )  # fmt: skip
        began = time.monotonic()
        dtype = _TYPES[self.precision]
        # networks that were exported, and errors from there, hold themselves in circles
        gc.collect()
        torch.cuda.empty_cache()
        network = copy.deepcopy(self._network).to(self.device, dtype)
        crops = torch.zeros(self._shape(size), dtype=dtype, device=self.device)
        serialized = build(network, crops)
        del network
        found = self._check(serialized, size)
        log.info("tensorrt: built in %.0f s; %s", time.monotonic() - began, found)
        built = Built(serialized, found)
        keep("tensorrt", key, lambda folder: _write(folder, built))
        return built

    def _check(self, serialized: bytes, size: int) -> Parity:
        try:
            engine = self._ready(serialized, size)
        except _UnreadableError as error:
            raise RtposeError(f"engine tensorrt: a new engine cannot be loaded: {error}") from error
        reference = EagerEngine(self._checkpoint, self.device, self._flip_test)

        def in_parts(crops: Tensor) -> Tensor:
            return torch.cat([engine(part) for part in torch.split(crops, size)])

        return parity.check(reference, in_parts, self.input_size)

    def _ready(self, serialized: bytes, size: int) -> Callable[[Tensor], Tensor]:
        """Load an engine, and record what it does: two hundred launches would wait for the host.

        torch-tensorrt's own runtime records it in the same way.
        """
        running = _Running(serialized, self.device)
        example = torch.zeros(self._shape(size), dtype=_TYPES[self.precision], device=self.device)
        try:
            return CudaGraph(running, example, None)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            log.warning(
                "tensorrt: its work cannot be recorded as a CUDA graph (%s). Going on without, "
                "which is slower",
                first_line(error),
            )

        def unrecorded(crops: Tensor) -> Tensor:
            placed = crops.to(self.device, example.dtype, non_blocking=True)
            return running(pad(placed, size))[: len(crops)]

        return unrecorded

    def _shape(self, size: int) -> tuple[int, int, int, int]:
        return size, 3, self.input_size, self.input_size


def engine_key(network: str, shape: tuple[int, ...], precision: str, device: str) -> dict[str, str]:
    """All that a built engine depends on.

    Parameters
    ----------
    network : str
        From `rtpose.cache.network_hash`.
    shape : tuple of int
        Of the crops.
    precision : str
    device : str
        The GPU it was built on.
    """
    return {
        "gpu": torch.cuda.get_device_name(device),
        "compute capability": "{}.{}".format(*torch.cuda.get_device_capability(device)),
        "network": network,
        "shape": "x".join(map(str, shape)),
        "precision": precision,
        "recipe": f"{_RECIPE}, {parity.RECIPE}",
        "torch": version("torch"),
        **tensorrt_packages(),
    }


@torch.no_grad()
def build(network: nn.Module, crops: Tensor) -> bytes:
    """Convert a network to one serialized TensorRT engine.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, in the precision the engine is to compute in.
    crops : Tensor
        An input: the engine takes this shape and dtype only.

    Raises
    ------
    RtposeError
        If any operation cannot be converted: nothing is left to PyTorch.
    """
    import torch_tensorrt

    heard: list[BaseException] = []
    try:
        exported = torch.export.export(network, (crops,))
        with (
            listen() as heard,
            tempfile.TemporaryDirectory(prefix="rtpose-") as folder,
        ):
            serialized = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                exported,
                arg_inputs=[crops],
                device=torch_tensorrt.Device(gpu_id=crops.device.index or 0),
                # the precision of every operation is that of its tensors
                use_explicit_typing=True,
                disable_tf32=True,
                # its default is a file that all users and GPUs of a machine share; for another
                # shape there is nothing in it to use again
                timing_cache_path=str(Path(folder) / "timing.bin"),
            )
    except Exception as error:  # torch-tensorrt raises many kinds
        for each in (error, *heard):
            if is_out_of_memory(each):
                raise torch.OutOfMemoryError(f"TensorRT: {first_line(each)}") from each
        raise RtposeError(f"engine tensorrt: {_why_unbuilt(error, heard, crops.device)}") from error
    return bytes(serialized)


def _why_unbuilt(error: Exception, heard: list[BaseException], device: torch.device) -> str:
    words = [each for each in heard if isinstance(each, TensorRtError)]
    logged = [each for each in heard if not isinstance(each, TensorRtError)]
    cause = error.__cause__ or (logged[-1] if logged else error)
    if isinstance(cause, AssertionError) and not str(cause) and not words:
        # torch-tensorrt's `assert cuda_engine`: it may be the network, or the memory
        free, total = (size / 1e9 for size in torch.cuda.mem_get_info(device))
        return (
            f"TensorRT made no engine and does not say why; {free:.1f} of {total:.1f} GB of GPU "
            "memory are free: close other programs that use it, or use --engine graphs"
        )
    said = [each for each in (cause, *words[-1:]) if str(each)] or [cause]
    reason = "; ".join(first_line(each)[:200] for each in said)
    return f"this network cannot be converted ({reason}); use --engine graphs"


def _write(folder: Path, built: Built) -> None:
    (folder / _VERDICT).write_text(json.dumps(vars(built.found)))
    (folder / _ENGINE).write_bytes(built.serialized)


def _load(key: dict[str, str]) -> Built | None:
    def read(kept: dict[str, bytes]) -> Built:
        return Built(kept[_ENGINE], Parity(**json.loads(kept[_VERDICT])))

    return read_as("tensorrt", key, read)


class _UnreadableError(Exception):
    """TensorRT does not take a serialized engine."""


class _Running:
    """A TensorRT engine in the GPU's memory.

    By TensorRT's own interface: it is a dozen lines, needs nothing of torch-tensorrt's runtime,
    and its calls have been the same since TensorRT 8.5.
    """

    def __init__(self, serialized: bytes, device: str) -> None:
        # in this order: torch-tensorrt decides which library `tensorrt` is, the RTX one or the
        # ordinary one
        import torch_tensorrt  # noqa: F401, I001
        import tensorrt as trt

        self._device = device
        # kept: an engine must not outlive its runtime and its logger
        with listen() as self._heard:
            self._logger: Any = error_logger(trt, self._heard)
            self._runtime: Any = trt.Runtime(self._logger)
            self._engine: Any = self._runtime.deserialize_cuda_engine(serialized)
            if self._engine is None:
                error = said_error("TensorRT does not accept it", self._heard)
                raise error if is_out_of_memory(error) else _UnreadableError(str(error))
            self._context: Any = self._engine.create_execution_context()
            if self._context is None:
                # its memory is all that a context asks for
                if not self._heard:
                    raise torch.OutOfMemoryError("TensorRT makes no execution context")
                raise said_error("TensorRT makes no execution context", self._heard)
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        kinds = {self._engine.get_tensor_mode(name): name for name in names}
        self._input = kinds[trt.TensorIOMode.INPUT]
        self._output = kinds[trt.TensorIOMode.OUTPUT]
        self._shape = tuple(self._engine.get_tensor_shape(self._output))

    def __call__(self, crops: Tensor) -> Tensor:
        """(B, 3, S, S) crops to heatmaps; B, device and dtype are the engine's."""
        crops = crops.contiguous()
        heatmaps = torch.empty(self._shape, dtype=torch.float, device=self._device)
        self._context.set_tensor_address(self._input, crops.data_ptr())
        self._context.set_tensor_address(self._output, heatmaps.data_ptr())
        stream = torch.cuda.current_stream(self._device)
        if not self._context.execute_async_v3(stream.cuda_stream):
            raise said_error("TensorRT could not launch the engine", self._heard)
        return heatmaps
