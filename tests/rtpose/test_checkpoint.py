import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rtpose.checkpoint import Calibration, Checkpoint, load_checkpoint, save_checkpoint
from rtpose.errors import RtposeError
from rtpose.network import eight_bit_convolutions


@pytest.fixture
def path(tmp_path: Path, tiny: Checkpoint) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(
        path, Checkpoint(tiny.network, tiny.skeleton, 64, Calibration(2.0, 0.5), {"date": "today"})
    )
    return path


def rewrite(path: Path, change) -> None:
    """Apply `change(tensors, metadata)` to a weights file."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def test_round_trip(path: Path, tiny: Checkpoint):
    loaded = load_checkpoint(path)
    assert loaded.skeleton is tiny.skeleton
    assert loaded.input_size == 64
    assert loaded.about == {"date": "today"}
    assert loaded.calibration == Calibration(2.0, 0.5)
    assert loaded.network.architecture == tiny.network.architecture
    assert not loaded.network.training
    pixels = torch.rand(1, 3, 64, 64) * 255
    # half precision on disk: three digits
    torch.testing.assert_close(loaded.network(pixels), tiny.network(pixels), rtol=0.05, atol=1e-3)


def test_peaks_come_back_and_must_fit(path: Path, tiny: Checkpoint):
    assert load_checkpoint(path).peaks == {}
    peaks = dict.fromkeys(eight_bit_convolutions(tiny.network), 2.5)
    save_checkpoint(path, replace(tiny, peaks=peaks))
    assert load_checkpoint(path).peaks == peaks
    missing = {name: peak for name, peak in peaks.items() if name != "stem.3.conv1"}
    for bad in (missing, {**peaks, "stem.9": 1.0}, {**peaks, "stem.3.conv1": -1.0}):
        save_checkpoint(path, replace(tiny, peaks=bad))
        with pytest.raises(RtposeError, match="the peaks in its metadata are not those of its"):
            load_checkpoint(path)
    rewrite(path, lambda tensors, metadata: metadata.update(peaks="[1]"))
    with pytest.raises(RtposeError, match="metadata are damaged"):
        load_checkpoint(path)


def test_weights_without_peaks_are_read(path: Path):
    rewrite(path, lambda tensors, metadata: metadata.pop("peaks"))
    assert load_checkpoint(path).peaks == {}


def test_calibration():
    scores = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    torch.testing.assert_close(Calibration()(scores), scores, atol=2e-4, rtol=0)
    surer = Calibration(1.0, 2.0)(scores)
    assert (surer[1:-1] > scores[1:-1]).all() and ((surer >= 0) & (surer <= 1)).all()


def test_no_partial_file_is_left(path: Path):
    assert [p.name for p in path.parent.iterdir()] == ["tiny.safetensors"]


def test_missing(tmp_path: Path):
    with pytest.raises(RtposeError, match=r"gone\.safetensors: no such weights file"):
        load_checkpoint(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x04N."])
def test_not_safetensors(tmp_path: Path, content: bytes):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(RtposeError, match="not a safetensors file"):
        load_checkpoint(path)


def test_cut_off(path: Path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RtposeError, match="not a safetensors file"):
        load_checkpoint(path)


def test_of_another_program(path: Path):
    rewrite(path, lambda tensors, metadata: metadata.clear())
    with pytest.raises(RtposeError, match="not a pose network of rtpose"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: t.pop("heads.0.bias"), r"tensor heads\.0\.bias is missing"),
        (
            lambda t, m: t.update({"heads.0.bias": torch.zeros(3)}),
            r"shape \(3,\), expected \(21,\)",
        ),
        (lambda t, m: t.update(extra=torch.zeros(3)), "tensor extra does not belong"),
        (lambda t, m: m.update(skeleton="octopus"), "metadata are damaged"),
        (lambda t, m: m.update(input_size="50"), "input size 50 does not fit"),
        (lambda t, m: m.update(joints=json.dumps(["nose"])), "joints are not those"),
        (lambda t, m: m.update(architecture="{}"), "metadata are damaged"),
    ],
)
def test_wrong_contents(path: Path, change, message: str):
    rewrite(path, change)
    with pytest.raises(RtposeError, match=message):
        load_checkpoint(path)
