"""MPII's real annotations, and tiny files of its other two formats."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from rtpose.datasets.labels import read_hdf5, read_mat
from rtpose.datasets.mpii import read_mpii
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.geometry import crop_squares, to_frame
from rtpose.skeleton import BODY21, MPII16


@pytest.fixture(scope="module")
def mpii(shared: Path) -> Path:
    return shared / "mpii"


@pytest.fixture(scope="module")
def train(mpii: Path) -> People:
    return read_mpii(mpii / "mpii_annotations.json.gz", "train", MPII16)


@pytest.fixture(scope="module")
def val(mpii: Path) -> People:
    heads = mpii / "detections_our_format.mat"
    return read_mpii(mpii / "mpii_annotations.json.gz", "val", MPII16, heads)


def test_everybody_is_there_once(train: People, val: People):
    assert (len(train), len(val)) == (22_246, 2_958)
    assert not set(train.pictures) & set(val.pictures)
    assert train.head_sizes is None and val.head_sizes is not None


def test_the_validation_people_are_newells(mpii: Path, val: People):
    """His file has the same people in the same order, centre and scale already widened."""
    names, centres, scales, parts = read_hdf5(
        mpii / "valid.h5", "imgname", "center", "scale", "part"
    )
    assert val.pictures == tuple(name.decode() for name in names)
    squares = crop_squares(val.boxes)
    np.testing.assert_allclose(squares[:, 2], 200 * scales, rtol=1e-3)
    # his centre is MATLAB's, counted from 1 at the middle of the first pixel
    middle = squares[:, :2] + squares[:, 2:] / 2
    np.testing.assert_allclose(middle, centres - 0.5, atol=0.01)
    # he cuts off fractions; and 13 labels lie outside their picture, for which the truth that
    # scores are measured against takes the picture's edge
    apart = np.abs(val.joints + 1 - parts).max(axis=-1)[val.labelled]
    assert (apart >= 1).sum() == 13


def test_a_crops_pixels_come_back_to_where_newell_says(mpii: Path, val: People):
    """In his pixels, MATLAB's, a crop reaches from centre - 100 scale to centre + 100 scale."""
    centres, scales = read_hdf5(mpii / "valid.h5", "center", "scale")
    ends = np.tile([[-0.5, -0.5], [127.5, 127.5], [255.5, 255.5]], (len(val), 1, 1))
    found = to_frame(ends, crop_squares(val.boxes), 256) + 1
    reach = 100 * scales[:, None, None] * np.array([[-1], [0], [1]])
    # our file rounds the scale to three digits
    np.testing.assert_allclose(found, centres[:, None] + reach, atol=0.08)


def test_joints_lie_in_the_crop(train: People):
    squares = crop_squares(train.boxes)
    low, high = squares[:, None, :2], (squares[:, :2] + squares[:, 2:])[:, None]
    inside = ((train.joints > low) & (train.joints < high)).all(axis=-1)
    assert inside[train.labelled].mean() > 0.995


ROW: dict[str, Any] = {
    "image": "a.jpg",
    "center": [100.0, 85.0],
    "scale": 1.0,
    "joints": [[50.0 + k, 60.0 + k] for k in range(16)],
    "joints_vis": [1] * 16,
}


def test_hrnets_json_and_where_its_crop_lies(tmp_path: Path):
    missing = [[-1.0, -1.0], *ROW["joints"][1:]]
    rows = [ROW, ROW | {"joints": missing, "joints_vis": [0] + [1] * 15}]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(rows))
    people = read_mpii(path, "train", BODY21)
    np.testing.assert_allclose(crop_squares(people.boxes)[0], [-25.5, -25.5, 250], rtol=1e-6)
    assert people.joints[0, 3].tolist() == [52, 62]
    assert people.labelled[:, 0].tolist() == [True, False]
    assert people.labelled[:, 1:16].all() and not people.labelled[:, 16:].any()


def official(tmp_path: Path) -> Path:
    """The official file in little: a structure RELEASE with all its oddities."""
    point = lambda k, seen: {  # noqa: E731
        "x": 10.0 + k, "y": 20.0 + k, "id": k, "is_visible": seen
    }  # fmt: skip
    empty = np.empty((0, 0))
    whole = {
        "x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0, "scale": 2.0, "objpos": {"x": 30.0, "y": 40.0},
        "annopoints": {"point": np.array([point(k, 1) for k in range(16)])},
    }  # fmt: skip
    some = whole | {"annopoints": {"point": np.array([point(0, empty), point(9, "0")])}}
    nobody = whole | {"annopoints": empty}
    nowhere = whole | {"objpos": empty}
    annolist = np.array(
        [
            {"image": {"name": "test.jpg"}, "annorect": whole},
            {"image": {"name": "two.jpg"}, "annorect": np.array([whole, some, nobody, nowhere])},
            {"image": {"name": "one.jpg"}, "annorect": whole},
            {"image": {"name": "none.jpg"}, "annorect": empty},
        ]
    )
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    release = {"annolist": annolist, "img_train": np.array([0, 1, 1, 1])}
    savemat(path, {"RELEASE": release})
    with h5py.File(tmp_path / "valid.h5", "w") as file:
        file["index"], file["person"] = [1.0], [1.0]
    return path


def test_the_official_matlab_file(tmp_path: Path):
    path = official(tmp_path)
    train = read_mpii(path, "train", MPII16)
    assert train.pictures == ("two.jpg", "one.jpg")
    assert train.labelled.all() and train.joints[0, 5].tolist() == [14, 24]
    np.testing.assert_allclose(crop_squares(train.boxes)[0], [-220.5, -180.5, 500], rtol=1e-6)
    val = read_mpii(path, "val", MPII16)
    assert val.pictures == ("two.jpg",)
    assert np.flatnonzero(val.labelled[0]).tolist() == [0, 9]


def test_bad_files(tmp_path: Path):
    path = tmp_path / "train.json"
    for text in ("{}", "[]", '[{"image": "a.jpg"}]', json.dumps([ROW | {"joints": [[1, 2]]}])):
        path.write_text(text)
        with pytest.raises(RtposeError, match="not MPII's annotations"):
            read_mpii(path, "train", MPII16)
    path.write_text(json.dumps([ROW]))
    heads = tmp_path / "gt_valid.mat"
    savemat(heads, {"pos_gt_src": np.zeros((16, 2, 3)), "jnt_missing": np.zeros((16, 3)),
                    "headboxes_src": np.zeros((2, 2, 3))})  # fmt: skip
    with pytest.raises(RtposeError, match=r"gt_valid\.mat: holds 3 people, the labels 1"):
        read_mpii(path, "val", MPII16, heads)
    mat = official(tmp_path)
    mat.with_name("valid.h5").unlink()
    with pytest.raises(RtposeError, match=r"valid\.h5: no such file"):
        read_mpii(mat, "train", MPII16)
    savemat(mat, {"other": 1})
    with pytest.raises(RtposeError, match="holds no RELEASE"):
        read_mat(mat, "RELEASE")
    mat.write_bytes(b"MATLAB, but not for long")
    with pytest.raises(RtposeError, match="not readable as a MATLAB file"):
        read_mat(mat, "RELEASE")
