"""What is measured and where it is written, with the measuring itself left out."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from benchmarks import engines, record
from rtpose.checkpoint import Checkpoint
from rtpose.engines import parity, tensorrt
from rtpose.errors import RtposeError

ROOT = Path(__file__).parents[2]
REAL_CHECK, REAL_KEEP = parity.check, tensorrt.keep


class Lab:
    """Stands where networks are made and timed: says what would have been."""

    def __init__(self) -> None:
        self.timed: dict[str, list[str]] = {}
        self.compared: list[str] = []
        self.unasked: list[str] = []
        self.detector_on: list[str] = []

    def select_engine(self, kind: str, checkpoint: Checkpoint, device: str) -> SimpleNamespace:
        if kind == "tensorrt":
            raise RtposeError("engine tensorrt: TensorRT made no engine")
        if parity.check is not REAL_CHECK and tensorrt.keep is not REAL_KEEP:
            self.unasked.append(kind)
        return SimpleNamespace(engine=SimpleNamespace(name=kind, precision="fp16", device=device))

    def check(self, name: str, engine: SimpleNamespace, checkpoint: Checkpoint) -> dict:
        self.compared.append(name)
        numbers = {"joints": 1, "same": 1.0, "apart_px": 0.0, "farthest_px": 0.0}
        return {"model": name, "engine": engine.name, "precision": "fp16", **numbers}

    def time_engines(self, made: dict, checkpoints: dict, *_: object) -> list:
        assert made.keys() == checkpoints.keys()
        self.timed = {name: [engine.name for engine in each] for name, each in made.items()}
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
    monkeypatch.setattr(engines, "untrained_base", lambda: tiny)
    monkeypatch.setattr(
        engines, "why_not", lambda kind, _: "runs on cpu" if kind == "openvino" else None
    )
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    return made


def test_an_engine_that_fails_is_written_down_and_the_others_are_measured(lab: Lab, tmp_path: Path):
    engines.main(model=["nano", "small"], device="cpu", rounds=1, small=False)
    assert lab.timed == {"nano": ["compiled", "eager"], "small": ["compiled", "eager"]}
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


def test_on_a_gpu_the_detector_and_a_network_of_bases_shape_are_timed(lab: Lab, tmp_path: Path):
    engines.main(model=["nano"], device="cuda", rounds=1, small=False)
    assert lab.timed["base untrained (random weights)"] == ["compiled", "eager"]
    # its answers are of no weights that anybody trained: neither compared nor kept
    assert lab.compared == ["nano", "nano"] and lab.unasked == ["compiled", "eager"]
    assert parity.check is REAL_CHECK and tensorrt.keep is REAL_KEEP
    assert lab.detector_on == ["cuda"]


def test_base_has_the_shape_that_training_gives_it():
    config = yaml.safe_load((ROOT / "training" / "configs" / "base.yaml").read_text())
    network = dict(config["network"])
    assert network.pop("skeleton") == "body21"
    assert {name: getattr(engines.BASE, name) for name in network} == network
    assert config["phases"][-1]["size"] == engines.BASE_SIZE
