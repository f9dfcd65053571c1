from pathlib import Path

import h5py
import numpy as np
import pytest

from rtpose.datasets.flic import read_flic
from rtpose.errors import RtposeError
from rtpose.geometry import crop_squares
from rtpose.metrics import torso_reference
from rtpose.skeleton import BODY21, FLIC11


def test_the_real_annotations(shared: Path):
    train, val = (read_flic(shared / "flic" / f"{name}.h5", FLIC11) for name in ("train", "valid"))
    assert (len(train), len(val)) == (3987, 1016)
    # as released: the same two people are in both
    assert len(set(train.pictures) & set(val.pictures)) == 2
    assert train.labelled.all() and val.labelled.all()
    assert train.pictures[0] == "12-oclock-high-special-edition-00006361.jpg"
    assert np.isfinite(torso_reference(val.joints, val.labelled, FLIC11)).all()
    for people in (train, val):
        squares = crop_squares(people.boxes)
        np.testing.assert_allclose(squares[:, 2], 440, rtol=1e-6)
        np.testing.assert_allclose(squares[:, 1] + 220, 240.5)
        # film heroes look at us: the left shoulder is on the picture's right
        left, right = (FLIC11.index[f"{side}_shoulder"] for side in ("left", "right"))
        assert (people.joints[:, left, 0] > people.joints[:, right, 0]).mean() > 0.8
        nose, hip = FLIC11.index["nose"], FLIC11.index["left_hip"]
        assert (people.joints[:, nose, 1] < people.joints[:, hip, 1]).mean() > 0.99


def write(path: Path, joints: int = 11) -> Path:
    with h5py.File(path, "w") as file:
        file["imgname"] = np.array([b"a.jpg", b"a.jpg"])
        file["center"] = np.array([[300.0, 240.0], [100.0, 240.0]])
        file["scale"] = np.array([2.2, 2.2])
        file["part"] = np.arange(2.0 * joints * 2).reshape(2, joints, 2)
        file["visible"] = np.eye(2, joints)
    return path


def test_two_people_in_a_picture(tmp_path: Path):
    people = read_flic(write(tmp_path / "train.h5"), BODY21)
    assert people.pictures == ("a.jpg", "a.jpg")
    np.testing.assert_allclose(
        crop_squares(people.boxes), [[80.5, 20.5, 440], [-119.5, 20.5, 440]], rtol=1e-6
    )
    for i, joint in enumerate(("left_shoulder", "left_elbow")):
        assert np.flatnonzero(people.labelled[i]).tolist() == [BODY21.index[joint]]
    assert people.joints[1, BODY21.index["left_elbow"]].tolist() == [24, 25]


def test_bad_files(tmp_path: Path):
    with pytest.raises(RtposeError, match=r"not FLIC's annotations: joints of shape \(2, 16, 2\)"):
        read_flic(write(tmp_path / "mpii.h5", joints=16), BODY21)
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"no HDF5")
    with pytest.raises(RtposeError, match="not readable as HDF5"):
        read_flic(broken, BODY21)
    with h5py.File(broken, "w") as file:
        file["part"] = [1.0]
    with pytest.raises(RtposeError, match="holds no imgname, center, scale, visible"):
        read_flic(broken, BODY21)
    with pytest.raises(RtposeError, match="no such file"):
        read_flic(tmp_path / "gone.h5", BODY21)
