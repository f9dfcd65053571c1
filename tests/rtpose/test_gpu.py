"""What is found of GPUs on machines of all kinds, played by files and patches."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rtpose import gpu
from rtpose.errors import RtposeError
from rtpose.gpu import (
    Driver,
    Gpu,
    ask_driver,
    cards_on_the_bus,
    no_answer,
    select_device,
    unused_gpu,
)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where nvidia-smi lies; it is asked anew."""
    path = tmp_path / "nvidia-smi"
    monkeypatch.setattr(gpu.shutil, "which", lambda name: str(path))
    ask_driver.cache_clear()
    yield path
    ask_driver.cache_clear()


def says(tool: Path, code: int, *lines: str) -> None:
    text = "".join(f"echo '{line}'\n" for line in lines)
    tool.write_text(f"#!/bin/sh\n{text}exit {code}\n")
    tool.chmod(0o755)


def test_what_the_driver_lists_is_read(tool: Path):
    says(tool, 0, "NVIDIA H100 80GB HBM3, 570.86.10", "NVIDIA H100 80GB HBM3, 570.86.10")
    assert ask_driver() == Driver((Gpu("NVIDIA H100 80GB HBM3", "570.86.10"),) * 2)


def test_without_a_driver_there_is_nothing(tool: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    assert ask_driver() == Driver()


def test_a_driver_that_fails_says_why(tool: Path, monkeypatch: pytest.MonkeyPatch):
    """It was taken for no GPU, and nobody learned that the one there is lies idle."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    says(tool, 18, "Failed to initialize NVML: Driver/library version mismatch", "NVML version: 5")
    assert unused_gpu() == (
        "no GPU is used: nvidia-smi fails: Failed to initialize NVML: Driver/library version "
        "mismatch; restart the machine, or install NVIDIA's driver again"
    )


def test_a_driver_that_fails_without_a_word(tool: Path):
    says(tool, 9)
    assert ask_driver().fault == "nvidia-smi fails: exit code 9"


def test_a_tool_that_cannot_be_run_or_hangs(tool: Path, monkeypatch: pytest.MonkeyPatch):
    tool.write_text("no program")
    assert ask_driver().fault == "nvidia-smi cannot be run: Permission denied"

    def hang(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 20)

    monkeypatch.setattr(gpu.subprocess, "run", hang)
    ask_driver.cache_clear()
    assert ask_driver().fault == "nvidia-smi does not answer within 20 s"


def test_a_card_is_seen_without_a_driver(
    tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    monkeypatch.setattr(gpu, "_PCI", tmp_path / "devices")
    assert cards_on_the_bus() == 0 and unused_gpu() is None
    # NVIDIA's graphics card and its sound, Intel's graphics, one that nobody may look at
    ids = {"1": ("0x10de", "0x030000"), "2": ("0x10de", "0x040300"), "3": ("0x8086", "0x030000")}
    for name, (vendor, kind) in ids.items():
        (tmp_path / "devices" / name).mkdir(parents=True)
        (tmp_path / "devices" / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "devices" / name / "class").write_text(f"{kind}\n")
    (tmp_path / "devices" / "4").mkdir()
    assert cards_on_the_bus() == 1
    assert str(unused_gpu()).startswith("an NVIDIA GPU is in this machine and not used: there is")
    # a card for data centres shows no picture
    (tmp_path / "devices" / "2" / "class").write_text("0x030200\n")
    assert str(unused_gpu()).startswith("2 NVIDIA GPUs are in this machine and not used: there is")


def test_a_gpu_that_is_used_does_not_lie_idle(tool: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    says(tool, 18, "Failed to initialize NVML")
    assert unused_gpu() is None


def test_whether_a_device_computes(monkeypatch: pytest.MonkeyPatch):
    assert no_answer("cpu") is None

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nSearch for more")

    monkeypatch.setattr(torch, "ones", fail)
    fault = "device cuda does not compute: CUDA error: no kernel image is available"
    assert no_answer("cuda") == fault


def test_a_gpu_that_is_not_used_is_said_loudly(hidden_gpu: None, caplog: pytest.LogCaptureFixture):
    assert select_device("auto") == "cpu"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "NVIDIA GeForce RTX 4090 is not used" in record.getMessage()


def test_a_driver_that_fails_is_said_loudly(
    no_gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Else all is computed on the CPU, and nobody learns that the GPU is not used."""
    fault = "nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch"
    monkeypatch.setattr(gpu, "ask_driver", lambda: Driver(fault=fault))
    assert select_device("auto") == "cpu"
    (record,) = caplog.records
    assert record.levelname == "WARNING" and fault in record.getMessage()
    with pytest.raises(RtposeError, match="Driver/library version mismatch; restart the machine"):
        select_device("cuda")


def test_a_gpu_without_a_driver_is_said_loudly(
    no_gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(gpu, "cards_on_the_bus", lambda: 1)
    assert select_device("auto") == "cpu"
    (record,) = caplog.records
    assert "an NVIDIA GPU is in this machine and not used: there is no driver" in record.message


def test_after_sleep_a_restart_is_advised(hidden_gpu: None, monkeypatch: pytest.MonkeyPatch):
    """CUDA's "unknown error" on laptops, where nvidia-smi goes on working."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "may need a newer driver" in str(unused_gpu())
    assert "has been asleep the driver has lost it: restart the machine" in str(unused_gpu())


def test_a_pytorch_without_cuda_is_named(hidden_gpu: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA; install the CUDA build" in str(unused_gpu())


def test_without_a_gpu_nothing_is_said(no_gpu: None, caplog: pytest.LogCaptureFixture):
    assert select_device("auto") == "cpu"
    assert not caplog.records


def test_devices_are_checked(no_gpu: None):
    with pytest.raises(RtposeError, match="unknown device 'gpu'"):
        select_device("gpu")
    with pytest.raises(RtposeError, match="CUDA GPUs here; use --device cpu"):
        select_device("cuda:99")
    with pytest.raises(RtposeError, match="not supported"):
        select_device("mps")


def test_a_cpu_with_a_number_is_the_cpu():
    assert select_device("cpu:0") == "cpu"


def test_a_gpu_that_does_not_compute_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """It is listed, but this PyTorch has no kernels for it, or it is another program's alone."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nSearch for more")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "ones", fail)
        assert select_device("auto") == "cpu"
        assert "device cuda does not compute: CUDA error: no kernel image is av" in caplog.text
        assert "Search" not in caplog.text
        with pytest.raises(RtposeError, match=r"cuda:1 does not compute: .*; use another, or"):
            select_device("cuda:1")
        caplog.clear()
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, device, **kind: ones(*shape, **kind))
    # a host program may have chosen another GPU, for its own thread alone
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert select_device("auto") == select_device("cuda") == "cuda:1"
    assert select_device("cuda:0") == "cuda:0"
    assert not caplog.records
