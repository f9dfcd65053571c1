"""Where and with what a measurement was made, and how much memory it took."""

from __future__ import annotations

import os
import platform
import sys

import torch

from rtpose.detector import PersonDetector, UltralyticsDetector
from rtpose.estimator import Estimator
from rtpose.host import installed_version, processor

PACKAGES = ("rtpose", "torch", "openvino", "torch-tensorrt", "ultralytics", "opencv-python", "av",
            "numpy")  # fmt: skip


def describe() -> dict[str, str]:
    """Processor, cores, GPU, load, Python and the versions of what does the work."""
    about = {"processor": processor(), "cores": str(os.cpu_count())}
    if torch.cuda.is_available():
        about["gpu"] = torch.cuda.get_device_name()
    if hasattr(os, "getloadavg"):  # not on Windows
        about["load"] = f"{os.getloadavg()[0]:.1f}"
    about |= {"system": platform.platform(), "python": platform.python_version()}
    return about | {name: found for name in PACKAGES if (found := installed_version(name))}


def described(model: str, estimator: Estimator, flip_test: bool) -> dict[str, str]:
    """What of an estimator its speed and its scores depend on."""
    engine = estimator.engine
    find = estimator.detector
    about = {
        "pose": f"{model} at {engine.input_size} px by {engine.name} {engine.precision} "
        f"on {engine.device}{', flip test' if flip_test else ''}"
    }
    if isinstance(find, (PersonDetector, UltralyticsDetector)):
        about["detector"] = f"{find.name} at {find.size} px {find.precision} on {find.device}"
    return about


def peak_host_mb() -> float | None:
    """Most memory this process has held at once, in MB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def gpu_used_mb(device: str) -> float | None:
    """Memory in use on the whole GPU, in MB, by whatever library; None on a CPU.

    What PyTorch only holds back is given free first.
    """
    if not device.startswith("cuda"):
        return None
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    return (total - free) / 1e6
