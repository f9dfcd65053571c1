import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rtpose.errors import RtposeError
from rtpose.weights_file import check_tensors, read_weights, write_weights


def test_floats_are_halved_counts_are_not(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    write_weights(path, {"w": torch.ones(2, 3).T, "n": torch.tensor(70_000)}, {"about": "me"})
    found = load_file(path)
    assert found["w"].dtype == torch.half and found["w"].shape == (3, 2)
    assert found["n"] == 70_000
    assert list(tmp_path.iterdir()) == [path]


def test_what_half_precision_does_not_hold_is_not_written(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(RtposeError, match=r"v goes up to 1e\+05, beyond what half precision"):
        write_weights(path, {"w": torch.ones(1), "v": torch.tensor([1.0, 1e5])}, {})
    assert not list(tmp_path.iterdir())


def test_what_was_written_is_read(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    write_weights(path, {"w": torch.ones(2)}, {"about": "me"})
    tensors, metadata = read_weights(path)
    assert metadata == {"about": "me"} and tensors["w"].tolist() == [1, 1]
    check_tensors(path, tensors, {"w": torch.zeros(2)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RtposeError, match="not a safetensors file"):
        read_weights(path)
    with pytest.raises(RtposeError, match="no such weights file"):
        read_weights(tmp_path / "gone")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "w is missing"),
        ({"w": torch.zeros(3)}, r"w has shape \(3,\), expected \(2,\)"),
        ({"w": torch.zeros(2), "x": torch.zeros(1)}, "x does not belong"),
        ({"w": torch.tensor([0.0, torch.inf])}, "w holds values that are not finite"),
    ],
)
def test_tensors_of_another_network_are_named(found: dict[str, torch.Tensor], said: str):
    with pytest.raises(RtposeError, match=said):
        check_tensors(Path("net"), found, {"w": torch.zeros(2)})


def test_no_such_folder(tmp_path: Path):
    path = tmp_path / "nowhere" / "net.safetensors"
    with pytest.raises(RtposeError, match=r"cannot be written .* check its folder"):
        write_weights(path, {"w": torch.ones(1)}, {})


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_others_may_read_it_as_any_file_one_makes(tmp_path: Path):
    path, other = tmp_path / "net.safetensors", tmp_path / "other"
    write_weights(path, {"w": torch.ones(1)}, {})
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
