"""What this machine can do for rtpose: one look at everything that a bug report should contain."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from rtpose.cache import cache_folder, entries
from rtpose.checkpoint import load_checkpoint
from rtpose.detector import load_detector
from rtpose.engines.available import ENGINES, tensorrt_packages, why_not
from rtpose.errors import RtposeError, first_line
from rtpose.gpu import ask_driver, no_answer, unused_gpu
from rtpose.host import installed_version, processor
from rtpose.shipped import shipped_detector, weights_folder

PACKAGES = (
    "rtpose", "torch", "torchvision", "triton", "ultralytics", "openvino", "onnx", "onnxruntime",
    "opencv-python", "av", "numpy",
)  # fmt: skip
"""Beside those of TensorRT, which come under several names."""

_MODEL = "nano"
"""What is used where nobody names a network."""

_ENCODERS = ("libx264",)
_DECODERS = ("h264", "hevc", "av1")


@dataclass(frozen=True)
class Finding:
    """One line of the page.

    Attributes
    ----------
    topic, text : str
    fault : bool
        The main job cannot run like this.
    """

    topic: str
    text: str
    fault: bool = False


def examine() -> list[Finding]:
    """Everything that is looked at, topic by topic; never raises for what it finds."""
    return [
        *_system(),
        *_devices(),
        *_engines(),
        *_weights(),
        *_codecs(),
        *_cameras(),
        *_display(),
        *_cache(),
    ]


def _system() -> list[Finding]:
    tensorrt: dict[str, str | None] = {**tensorrt_packages()} or {"tensorrt": None}
    found = {name: installed_version(name) for name in PACKAGES} | tensorrt
    missing = [name for name, number in found.items() if number is None]
    return [
        Finding("system", f"{platform.platform()}, Python {platform.python_version()}"),
        Finding("packages", ", ".join(f"{n} {v}" for n, v in found.items() if v is not None)),
        Finding("not installed", ", ".join(missing) or "nothing"),
    ]


def _devices() -> list[Finding]:
    lines = [Finding("cpu", f"{processor()}, {os.cpu_count()} cores")]
    lines += [Finding("gpu", f"{gpu.name}, driver {gpu.driver}") for gpu in ask_driver().gpus]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            lines.append(
                Finding(
                    f"cuda:{index}",
                    f"{about.name}, compute capability {about.major}.{about.minor}, "
                    f"{about.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}",
                )
            )
            if (fault := no_answer(f"cuda:{index}")) is not None:
                lines.append(Finding(f"cuda:{index}", f"NOT USED: {fault}"))
    elif (unused := unused_gpu()) is not None:
        lines.append(Finding("gpu", f"NOT USED: {unused}"))
    else:
        lines.append(Finding("gpu", "none of NVIDIA"))
    return lines


def _device() -> str:
    """Where networks run, as `rtpose.gpu.select_device` has it for ``auto``."""
    return "cuda" if torch.cuda.is_available() and no_answer("cuda") is None else "cpu"


def _engines() -> list[Finding]:
    device = _device()
    lines = []
    for name in ENGINES:
        where = "cpu" if name == "openvino" else device
        fault = why_not(name, where)
        lines.append(Finding(f"engine {name}", f"no: {fault}" if fault else f"yes, on {where}"))
    return lines


def _weights() -> list[Finding]:
    try:
        poses = sorted(weights_folder().glob("pose-*.safetensors"))
        detector = shipped_detector()
    except RtposeError as error:
        return [Finding("weights", str(error), fault=True)]
    if not poses:
        text = f"no pose network in {weights_folder()}: install rtpose again"
        return [Finding("weights", text, fault=True)]
    lines = [_weights_file(path) for path in poses]
    if f"pose-{_MODEL}" not in {path.stem for path in poses}:
        text = f"{_MODEL}, which is the default, is not in {weights_folder()}: install rtpose again"
        lines.append(Finding("weights", text, fault=True))
    return [*lines, _detector(detector)]


def _detector(path: Path) -> Finding:
    """Made ready as for the main job, as it has no other engine to go on with."""
    try:
        made = load_detector(path, _device())
    except RtposeError as error:
        return Finding("weights", str(error), fault=True)
    except (RuntimeError, ImportError, OSError) as error:  # the libraries' own
        return Finding("weights", f"the detector cannot run: {first_line(error)}", fault=True)
    runs = f"by {made.name} {made.precision} on {made.device}"
    return Finding("weights", f"detector, {runs}, sha256 {_hash(path)}, {path}")


def _weights_file(path: Path) -> Finding:
    try:
        checkpoint = load_checkpoint(path)
    except RtposeError as error:
        return Finding("weights", str(error), fault=True)
    name = path.stem.removeprefix("pose-")
    text = f"{name}, {checkpoint.input_size} px, sha256 {_hash(path)}, {path}"
    return Finding("weights", text)


def _codecs() -> list[Finding]:
    written = [name for name in _ENCODERS if _has_codec(name, "w")]
    read = [name for name in _DECODERS if _has_codec(name, "r")]
    return [
        Finding("video writes", ", ".join(written) or "nothing", fault="libx264" not in written),
        Finding("video reads", ", ".join(read) or "nothing", fault="h264" not in read),
    ]


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        Codec(name, mode)
    except UnknownCodecError:
        return False
    return True


def _cameras() -> list[Finding]:
    from rtpose.media.devices import list_devices

    return [Finding("cameras", ", ".join(list_devices()) or "none")]


def _display() -> list[Finding]:
    if sys.platform == "linux":
        shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
        return [Finding("display", shown or "none: no window can be opened here")]
    return [Finding("display", "yes")]


def _cache() -> list[Finding]:
    found = list(entries())
    size = sum(entry.size for entry in found) / 1e6
    return [Finding("cache", f"{len(found)} entries, {size:.0f} MB, {cache_folder()}")]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
