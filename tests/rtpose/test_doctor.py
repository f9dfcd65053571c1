"""What the page says of machines of all kinds, played by patches."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rtpose import doctor, gpu
from rtpose.doctor import Finding
from rtpose.engines import available
from rtpose.errors import RtposeError
from rtpose.gpu import Driver
from rtpose.shipped import weights_folder


def said(findings: list[Finding]) -> str:
    return "\n".join(f"{finding.topic}: {finding.text}" for finding in findings)


def fails(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that loads at once."""
    made = SimpleNamespace(name="person (openvino)", precision="int8", device="cpu")
    monkeypatch.setattr(doctor, "load_detector", lambda *_: made)


@pytest.fixture
def dead_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that PyTorch lists, and that computes nothing."""
    about = SimpleNamespace(name="Tesla K80", major=3, minor=7, total_memory=12 << 30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: about)
    monkeypatch.setattr(doctor, "ask_driver", Driver)
    for module in (doctor, available):
        monkeypatch.setattr(module, "no_answer", lambda device: f"device {device} does not compute")


@pytest.mark.parametrize(
    "error",
    [
        RtposeError("detector.safetensors: broken"),
        ModuleNotFoundError("No module named 'openvino'"),
        RuntimeError("Device with CPU name is not registered\nmore"),
        OSError("libgomp.so.1: cannot open shared object file"),
    ],
)
def test_a_detector_that_cannot_load_is_a_fault(error: Exception, monkeypatch: pytest.MonkeyPatch):
    """It was said that the main job can run, which then ended in a traceback."""
    monkeypatch.setattr(doctor, "load_detector", fails(error))
    faults = [finding for finding in doctor._weights() if finding.fault]
    assert len(faults) == 1
    assert str(error).splitlines()[0] in faults[0].text and "\n" not in faults[0].text


def test_a_detector_that_loads_is_said_with_what_runs_it(ready: None):
    findings = doctor._weights()
    assert not any(finding.fault for finding in findings)
    assert "weights: detector, by person (openvino) int8 on cpu, sha256 " in said(findings)


def test_without_the_default_network_the_main_job_cannot_run(
    ready: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copy(weights_folder() / "pose-small.safetensors", tmp_path)
    monkeypatch.setattr(doctor, "weights_folder", lambda: tmp_path)
    (fault,) = [finding for finding in doctor._weights() if finding.fault]
    assert fault.text.startswith("nano, which is the default, is not in ")


def test_a_gpu_that_computes_nothing_is_not_said_to_run_engines(dead_gpu: None):
    """As commands do, which go on with the CPU there."""
    assert "cuda:0: NOT USED: device cuda:0 does not compute" in said(doctor._devices())
    page = said(doctor._engines())
    assert "on cuda" not in page
    assert "engine compiled: no: runs on NVIDIA GPUs only; device cuda does not compute" in page
    assert "engine eager: yes, on cpu" in page


def test_a_driver_that_fails_is_on_the_page(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    driver = Driver(fault="nvidia-smi fails: Driver/library version mismatch")
    for module in (doctor, gpu):
        monkeypatch.setattr(module, "ask_driver", lambda: driver)
    assert "NOT USED: no GPU is used: nvidia-smi fails: Driver/lib" in said(doctor._devices())


def test_tensorrt_under_any_of_its_names_is_installed(monkeypatch: pytest.MonkeyPatch):
    """torch-tensorrt 2.14 comes with tensorrt-cu13."""
    monkeypatch.setattr(
        doctor, "tensorrt_packages", lambda: {"torch-tensorrt": "2.14.0", "tensorrt-cu13": "10.15"}
    )
    _, packages, missing = doctor._system()
    assert "torch-tensorrt 2.14.0, tensorrt-cu13 10.15" in packages.text
    assert "tensorrt" not in missing.text
    monkeypatch.setattr(doctor, "tensorrt_packages", dict)
    _, packages, missing = doctor._system()
    assert "tensorrt" in missing.text and "tensorrt" not in packages.text
    assert "triton" in packages.text + missing.text
