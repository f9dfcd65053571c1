"""A pose network as a file for other programs: written, read back, and compared with ours."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rtpose.checkpoint import Checkpoint
from rtpose.engines.eager import EagerEngine
from rtpose.engines.parity import Parity, compare, real_crops
from rtpose.errors import RtposeError
from rtpose.geometry import CROP_MARGIN
from rtpose.heatmaps import HeatmapNetwork
from rtpose.openvino_model import compile_for_cpu, read_model, save_model, trace

_BESIDE_WEIGHTS = 5_000_000
"""Bytes that a file may have beside them, by far."""

_INPUT, _OUTPUT, _ABOUT = "crops", "heatmaps", "rtpose"
"""Names of input and output, where a format has names, and of the note that says what they are."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how its answers compare with the eager network's.

    Attributes
    ----------
    files : tuple of Path
    found : Parity
    apart : float
        Largest difference of any probability in any heatmap.
    """

    files: tuple[Path, ...]
    found: Parity
    apart: float


def export(checkpoint: Checkpoint, format: str, path: Path, flip_test: bool = False) -> Exported:
    """Write a network for another program to run, for any number of crops.

    Input is ``crops``, (N, 3, S, S) uint8 RGB; output is ``heatmaps``, (N, K, S/4, S/4) float32,
    a probability over cells for each joint. The names of the joints are in the file's metadata
    under ``rtpose``, as JSON.

    Parameters
    ----------
    checkpoint : Checkpoint
        On the CPU.
    format : str
        One of `FORMATS`.
    path : Path
        Replaced if it exists, once the new file has been checked.
    flip_test : bool
        Put the mean with the mirror image into the file, too.

    Raises
    ------
    RtposeError
        If the format is unknown, its package is missing, the path does not fit or cannot be
        written, or what was written answers otherwise than the network does.
    """
    if format not in FORMATS:
        raise RtposeError(f"unknown format {format!r}: choose {', '.join(FORMATS)}")
    kind = FORMATS[format]
    if path.suffix != kind.suffixes[0]:
        raise RtposeError(f"{path}: a file of format {format} must end in {kind.suffixes[0]}")
    for package in kind.packages:
        if importlib.util.find_spec(package) is None:
            raise RtposeError(
                f"format {format}: {package} is not installed; run: "
                f"pip install {' '.join(kind.packages)}"
            )
    if not path.absolute().parent.is_dir():
        raise RtposeError(f"{path}: no such folder")
    network = HeatmapNetwork(checkpoint.network, checkpoint.skeleton.flip if flip_test else None)
    # PyTorch's own writers abort the process where the disk is full
    needed = sum(tensor.nbytes for tensor in network.state_dict().values())
    if needed + _BESIDE_WEIGHTS > shutil.disk_usage(path.absolute().parent).free:
        raise RtposeError(f"{path}: the disk has no room for {needed / 1e6:.0f} MB; free some")
    size = checkpoint.input_size
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".rtpose-") as folder:
            made = Path(folder) / path.name
            with warnings.catch_warnings(), torch.no_grad():
                # of torch's own converters about themselves
                warnings.simplefilter("ignore")
                kind.write(network.eval(), example, made, json.dumps(_describe(checkpoint)))
                eager = EagerEngine(checkpoint, "cpu", flip_test)
                found, apart = _check(kind.read(made), eager, size)
            if not found.holds:
                raise RtposeError(f"format {format}: what was written answers otherwise: {found}")
            files = sorted(Path(folder).iterdir())
            for file in files:
                file.replace(path.parent / file.name)
    except OSError as error:
        raise RtposeError(f"{path}: cannot be written ({error.strerror})") from error
    return Exported(tuple(path.parent / file.name for file in files), found, apart)


@torch.inference_mode()
def _check(read: Callable[[Tensor], Tensor], eager: EagerEngine, size: int) -> tuple[Parity, float]:
    crops = real_crops(size)
    # one person and several: a shape that was fixed in conversion shows itself here
    heatmaps = torch.cat([read(crops[:1]), read(crops[1:])])
    want = eager(crops)
    return compare(want, heatmaps), float((heatmaps - want).abs().max())


def _describe(checkpoint: Checkpoint) -> dict[str, object]:
    size = checkpoint.input_size
    return {
        "joints": checkpoint.skeleton.joints,
        _INPUT: f"(N, 3, {size}, {size}) uint8 RGB, "
        f"a square of {CROP_MARGIN} times the person's box",
        _OUTPUT: "(N, joints, S/4, S/4) float32, probability over cells",
    }


def _write_onnx(network: HeatmapNetwork, example: Tensor, path: Path, about: str) -> None:
    program = torch.onnx.export(
        network,
        (example,),
        input_names=[_INPUT],
        output_names=[_OUTPUT],
        dynamic_shapes=_any_number(),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[_ABOUT] = about
    program.save(path)


def _read_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda crops: torch.from_numpy(session.run([_OUTPUT], {_INPUT: crops.numpy()})[0])


def _write_openvino(network: HeatmapNetwork, example: Tensor, path: Path, about: str) -> None:
    model = trace(network, example, (-1, *example.shape[1:]))
    model.inputs[0].get_tensor().set_names({_INPUT})
    model.outputs[0].get_tensor().set_names({_OUTPUT})
    model.set_rt_info(about, [_ABOUT])
    save_model(model, path)


def _read_openvino(path: Path) -> Callable[[Tensor], Tensor]:
    request = compile_for_cpu(read_model(path), "fp32")
    return lambda crops: torch.from_numpy(np.array(request.infer([crops.numpy()])[0]))


def _write_torchscript(network: HeatmapNetwork, example: Tensor, path: Path, about: str) -> None:
    traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, path, _extra_files={_ABOUT: about})


def _read_torchscript(path: Path) -> Callable[[Tensor], Tensor]:
    read: Callable[[Tensor], Tensor] = torch.jit.load(path)  # type: ignore[no-untyped-call]
    return read


def _write_torch(network: HeatmapNetwork, example: Tensor, path: Path, about: str) -> None:
    program = torch.export.export(network, (example,), dynamic_shapes=_any_number())
    torch.export.save(program, path, extra_files={_ABOUT: about})


def _read_torch(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.export.load(path).module()


def _any_number() -> dict[str, dict[int, object]]:
    return {_INPUT: {0: torch.export.Dim.DYNAMIC}}


@dataclass(frozen=True)
class _Kind:
    suffixes: tuple[str, ...]
    packages: tuple[str, ...]
    write: Callable[[HeatmapNetwork, Tensor, Path, str], None]
    read: Callable[[Path], Callable[[Tensor], Tensor]]


FORMATS = {
    "onnx": _Kind((".onnx",), ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _read_onnx),
    "openvino": _Kind((".xml", ".bin"), ("openvino",), _write_openvino, _read_openvino),
    "torchscript": _Kind((".pt",), (), _write_torchscript, _read_torchscript),
    "torch": _Kind((".pt2",), (), _write_torch, _read_torch),
}
"""Formats by the name that `rtpose export --format` takes."""
