"""Every format is written from the shipped network and answers as eager does."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rtpose import export as module
from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.export import FORMATS, export
from rtpose.heatmaps import HeatmapNetwork
from rtpose.network import Architecture, DCHourglass
from rtpose.shipped import find_weights, shipped_networks
from rtpose.skeleton import BODY21


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    """Smaller than the other tests' tiny: ONNX's converter takes long for each operation."""
    torch.manual_seed(0)
    network = DCHourglass(Architecture(stacks=2, channels=4, joints=len(BODY21), depth=1))
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(4, 3, 32, 32) * 255)
    return Checkpoint(network.eval(), BODY21, 32)


@pytest.mark.parametrize(
    ("format", "flip_test"),
    [*((name, True) for name in FORMATS), ("torchscript", False)],
)
def test_answers_are_the_eager_networks(
    format: str, flip_test: bool, tiny: Checkpoint, tmp_path: Path
):
    """For one person and for several, whatever number the file was made with."""
    for package in FORMATS[format].packages:
        pytest.importorskip(package)
    path = tmp_path / f"net{FORMATS[format].suffixes[0]}"
    written = export(tiny, format, path, flip_test)
    assert written.apart < 1e-5 and written.found.holds
    assert path in written.files
    assert sorted(tmp_path.iterdir()) == list(written.files)
    read = FORMATS[format].read(path)
    eager = EagerEngine(tiny, flip_test=flip_test)
    for count in (1, 2, 5):
        crops = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
        with torch.inference_mode():
            torch.testing.assert_close(read(crops), eager(crops), rtol=1e-3, atol=1e-5)


def test_the_file_names_the_joints(tiny: Checkpoint, tmp_path: Path):
    path = tmp_path / "net.pt"
    export(tiny, "torchscript", path)
    extra = {"rtpose": ""}
    torch.jit.load(path, _extra_files=extra)
    about = json.loads(extra["rtpose"])
    assert tuple(about["joints"]) == tiny.skeleton.joints
    assert "32, 32) uint8 RGB" in about["crops"]


def test_onnx_names_the_joints(tiny: Checkpoint, tmp_path: Path):
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "net.onnx"
    export(tiny, "onnx", path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["rtpose"])
    assert tuple(about["joints"]) == tiny.skeleton.joints
    (crops,), (heatmaps,) = session.get_inputs(), session.get_outputs()
    assert (crops.name, crops.type, crops.shape[1:]) == ("crops", "tensor(uint8)", [3, 32, 32])
    assert (heatmaps.name, heatmaps.shape[1:]) == ("heatmaps", [21, 8, 8])


@pytest.mark.parametrize("name", shipped_networks())
def test_every_shipped_network_is_exportable(name: str):
    """What torch-tensorrt starts from: no break, no data-dependent control flow, halved.

    Of the least size that hourglasses can halve: a CPU takes minutes for base in half precision.
    """
    checkpoint = load_checkpoint(find_weights(name))
    network = HeatmapNetwork(checkpoint.network, checkpoint.skeleton.flip).eval().half()
    crops = torch.randint(0, 256, (2, 3, 64, 64)).half()
    program = torch.export.export(network, (crops,))
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(crops), network(crops))


@pytest.mark.parametrize(
    ("format", "name", "message"),
    [
        ("tflite", "net.tflite", "unknown format 'tflite': choose onnx, openvino"),
        ("torch", "net.onnx", "must end in .pt2"),
        ("torch", "gone/net.pt2", "no such folder"),
    ],
)
def test_what_cannot_be_written_is_said(
    format: str, name: str, message: str, tiny: Checkpoint, tmp_path: Path
):
    with pytest.raises(RtposeError, match=message):
        export(tiny, format, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(RtposeError, match="the disk has no room for"):
        export(tiny, "torch", tmp_path / "net.pt2")


def test_a_missing_package_is_named(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RtposeError, match="pip install onnx onnxscript onnxruntime"):
        export(tiny, "onnx", tmp_path / "net.onnx")


def test_a_file_that_answers_otherwise_is_not_left_behind(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kind = FORMATS["torchscript"]
    wrong = replace(kind, read=lambda path: lambda crops: kind.read(path)(crops).roll(1, 3))
    monkeypatch.setitem(FORMATS, "torchscript", wrong)
    (tmp_path / "net.pt").write_text("precious")
    with pytest.raises(RtposeError, match="answers otherwise"):
        export(tiny, "torchscript", tmp_path / "net.pt")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["precious"]
