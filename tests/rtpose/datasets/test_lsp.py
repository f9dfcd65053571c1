"""Tiny files in the official layouts, which the official files (not at hand) share."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from rtpose.datasets.lsp import is_extended, read_lsp
from rtpose.errors import RtposeError
from rtpose.skeleton import BODY21, LSP14

PEOPLE = 4


def points() -> np.ndarray:
    """(PEOPLE, 14, 3): person p's joint k at (100 p + 2 k, 100 p + k), the third number 0."""
    k, p = np.arange(14), np.arange(PEOPLE)[:, None]
    return np.stack([100 * p + 2 * k, 100 * p + k, 0 * p * k], axis=-1).astype(float)


def lsp(folder: Path, data: np.ndarray) -> Path:
    savemat(folder / "joints.mat", {"joints": data.transpose(2, 1, 0)})
    return folder / "joints.mat"


def extended(folder: Path, data: np.ndarray) -> Path:
    savemat(folder / "joints.mat", {"joints": data.transpose(1, 2, 0)})
    return folder / "joints.mat"


def test_lsp_halves_into_train_and_test_and_labels_hidden_joints(tmp_path: Path):
    data = points()
    data[3, 5, 2] = 1
    path = lsp(tmp_path, data)
    train, test = read_lsp(path, "train", LSP14), read_lsp(path, "test", LSP14)
    assert not is_extended(path)
    assert train.pictures == ("im0001.jpg", "im0002.jpg")
    assert test.pictures == ("im0003.jpg", "im0004.jpg")
    assert train.labelled.all() and test.labelled.all()
    assert test.joints[1, 5].tolist() == [310, 305]


def test_lsp_extended_labels_what_is_visible(tmp_path: Path):
    data = points()
    data[..., 2] = 1
    data[1, 5] = (-1000, 9e9, 0)
    data[2, :, 2] = 0
    path = extended(tmp_path, data)
    people = read_lsp(path, "train", BODY21)
    assert is_extended(path)
    assert people.pictures == ("im00001.jpg", "im00002.jpg", "im00004.jpg")
    lost = BODY21.index[LSP14.joints[5]]
    assert people.labelled[1].sum() == 13 and not people.labelled[1, lost]
    assert people.boxes[1].max() < 200, "the box must not reach out to a joint nobody labelled"
    with pytest.raises(RtposeError, match="LSP-Extended has no test split"):
        read_lsp(path, "test", BODY21)


def test_the_box_has_room_around_the_joints(tmp_path: Path):
    people = read_lsp(lsp(tmp_path, points()), "train", LSP14)
    room = 0.08 * 26
    expected = [100 - room + 0.5, 100 - room + 0.5, 126 + room + 0.5, 113 + room + 0.5]
    np.testing.assert_allclose(people.boxes[1], expected, rtol=1e-5)


def test_joints_have_the_names_of_lsp(tmp_path: Path):
    people = read_lsp(lsp(tmp_path, points()), "train", BODY21)
    assert people.joints[0, BODY21.index["right_ankle"]].tolist() == [0, 0]
    assert people.joints[0, BODY21.index["head_top"]].tolist() == [26, 13]
    assert people.labelled[0].sum() == 14


def test_bad_files(tmp_path: Path):
    path = tmp_path / "joints.mat"
    savemat(path, {"joints": np.zeros((3, 16, 5))})
    with pytest.raises(RtposeError, match=r"not LSP's joints: an array of shape \(3, 16, 5\)"):
        read_lsp(path, "train", LSP14)
    savemat(path, {"other": 1})
    with pytest.raises(RtposeError, match="holds no joints"):
        read_lsp(path, "train", LSP14)
    path.write_bytes(b"cut off")
    with pytest.raises(RtposeError, match="not readable as a MATLAB file"):
        read_lsp(path, "train", LSP14)
    with pytest.raises(RtposeError, match="no such file"):
        is_extended(tmp_path / "gone.mat")
