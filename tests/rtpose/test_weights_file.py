import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rtpose.errors import RtposeError
from rtpose.weights_file import write_weights


def test_floats_are_halved_counts_are_not(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    write_weights(path, {"w": torch.ones(2, 3).T, "n": torch.tensor(70_000)}, {"about": "me"})
    found = load_file(path)
    assert found["w"].dtype == torch.half and found["w"].shape == (3, 2)
    assert found["n"] == 70_000
    assert list(tmp_path.iterdir()) == [path]


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
