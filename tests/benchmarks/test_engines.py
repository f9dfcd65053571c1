"""What is measured and where it is written, with the measuring itself left out."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import engines, record
from rtpose.checkpoint import Checkpoint
from rtpose.errors import RtposeError

TIMED = {
    "model": "nano", "engine": "compiled", "crops": 1, "ms": 1.0, "ms_p25": 1.0, "ms_p75": 1.0,
    "crops_per_s": 1.0, "floor_ms": 0.5, "part_of_roofline": 0.5,
}  # fmt: skip


class Lab:
    """Stands where networks are made and timed: says what would have been."""

    def __init__(self) -> None:
        self.timed: dict[str, list[str]] = {}
        self.detector_on: list[str] = []

    def select_engine(self, kind: str, checkpoint: Checkpoint, device: str) -> SimpleNamespace:
        if kind == "tensorrt":
            raise RtposeError("engine tensorrt: TensorRT made no engine")
        return SimpleNamespace(engine=SimpleNamespace(name=kind, precision="fp16", device=device))

    def check(
        self, name: str, engine: SimpleNamespace, checkpoint: Checkpoint, ready_s: float
    ) -> dict:
        numbers = {"joints": 1, "same": 1.0, "apart_px": 0.0, "farthest_px": 0.0, "ready_s": 1.0}
        return {"model": name, "engine": engine.name, "precision": "fp16", **numbers}

    def time_engines(self, name: str, checkpoint: Checkpoint, made: list, *_: object) -> list:
        self.timed[name] = [engine.name for engine in made]
        return []

    def time_detector(self, device: str, rounds: int) -> list:
        self.detector_on.append(device)
        return []


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint) -> Lab:
    made = Lab()
    for name in ("select_engine", "check", "time_engines", "time_detector"):
        monkeypatch.setattr(engines, name, getattr(made, name))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(engines, "select_device", lambda device: device)
    monkeypatch.setattr(engines, "load_checkpoint", lambda path: tiny)
    monkeypatch.setattr(
        engines, "why_not", lambda kind, _: "runs on cpu" if kind == "openvino" else None
    )
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    return made


def test_an_engine_that_fails_is_written_down_and_the_others_are_measured(lab: Lab, tmp_path: Path):
    engines.main(model=["nano", "small"], device="cpu", rounds=1, small=False)
    kinds = ["compiled", "graphs", "eager"]
    assert lab.timed == {"nano": kinds, "small": kinds}
    record = json.loads((tmp_path / "engines.json").read_text())
    assert record["missing"] == {
        "openvino": "runs on cpu",
        "tensorrt for nano": "fails: engine tensorrt: TensorRT made no engine",
        "tensorrt for small": "fails: engine tensorrt: TensorRT made no engine",
    }
    text = (tmp_path / "engines.md").read_text()
    assert "Not measured: tensorrt for nano, which fails: engine tensorrt: TensorRT made" in text


def test_what_a_gpu_takes_lies_beside_the_figures_of_the_cpu(lab: Lab, tmp_path: Path):
    engines.main(model=["nano"], device="cuda", rounds=1, small=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "engines-nvidia-h100-80gb-hbm3.json", "engines-nvidia-h100-80gb-hbm3.md"
    ]  # fmt: skip


def test_a_run_that_is_cut_off_leaves_what_it_has(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def cut(*_: object) -> list:
        if lab.timed:
            raise KeyboardInterrupt
        lab.timed["nano"] = []
        return [TIMED]

    monkeypatch.setattr(engines, "time_engines", cut)
    with pytest.raises(KeyboardInterrupt):
        engines.main(model=["nano", "small"], device="cuda", rounds=1, small=False)
    record = json.loads((tmp_path / "engines-nvidia-h100-80gb-hbm3.json").read_text())
    assert [row["model"] for row in record["speed"]] == ["nano"]
    assert "| nano | compiled | 1 |" in (tmp_path / "engines-nvidia-h100-80gb-hbm3.md").read_text()


def test_the_detector_is_timed_where_the_networks_are(lab: Lab):
    engines.main(model=["nano"], device="cuda", rounds=1, small=False)
    assert lab.detector_on == ["cuda"]
