import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from rtpose.bench.accuracy import Scored, score
from rtpose.bench.evaluation import evaluate_predictions, find_split
from rtpose.bench.predictions import read_predictions
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.skeleton import FLIC11, LSP14, MPII16

COUNT = 20


@pytest.fixture
def people() -> People:
    random = np.random.default_rng(0)
    joints = random.uniform(0, 200, (COUNT, 14, 2)).astype(np.float32)
    return People(
        tuple(f"{i}.jpg" for i in range(COUNT)), ("set",) * COUNT,
        np.tile(np.float32([0, 0, 200, 200]), (COUNT, 1)), joints,
        np.ones((COUNT, 14), bool), np.zeros((COUNT, 14, 3), np.float32),
    )  # fmt: skip


def write(path: Path, array: np.ndarray, name: str = "preds") -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(array.tolist()))
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {name: array})
    else:
        with h5py.File(path, "w") as file:
            file[name] = array
    return path


@pytest.mark.parametrize("suffix", [".h5", ".mat", ".json"])
def test_files_of_every_kind(people: People, tmp_path: Path, suffix: str):
    first = 0 if suffix == ".json" else 1
    path = write(tmp_path / f"a{suffix}", people.joints + first)
    scored = read_predictions(path, people, LSP14)
    np.testing.assert_allclose(scored.joints[..., :2], people.joints, atol=1e-4)
    assert (scored.joints[..., 2] == 1).all()
    other = read_predictions(path, people, LSP14, first_pixel=1 - first)
    np.testing.assert_allclose(other.joints[..., :2] - people.joints, 2 * first - 1, atol=1e-4)


def test_tompsons_axes_and_scores(people: People, tmp_path: Path):
    turned = write(tmp_path / "a.mat", people.joints.transpose(1, 2, 0) + 1, "pos_pred_src")
    found = read_predictions(turned, people, LSP14).joints[..., :2]
    np.testing.assert_allclose(found, people.joints, atol=1e-4)
    with_score = np.concatenate([people.joints, np.full((COUNT, 14, 1), 0.3)], axis=-1)
    scored = read_predictions(write(tmp_path / "a.json", with_score), people, LSP14)
    np.testing.assert_allclose(scored.joints[..., 2], 0.3, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda joints: joints[:-1], "holds 19 people, the labels 20; it must be of the same"),
        (lambda joints: joints[:, :12], "holds 12 joints a person, lsp14 has 14: right_ankle"),
        (lambda joints: joints.reshape(COUNT, 28), r"shape \(20, 28\); expected \(20, 14, 2\)"),
        (lambda joints: joints[:, LSP14.flip], "right_ankle lies on left_ankle"),
        (lambda joints: np.roll(joints, 1, 1), "the joints are in another order than lsp14's"),
    ],
)
def test_wrong_lengths_and_orders_are_named(people: People, tmp_path: Path, change, message):
    path = write(tmp_path / "a.json", change(people.joints))
    with pytest.raises(RtposeError, match=message):
        read_predictions(path, people, LSP14)


def test_bad_predictions_in_the_right_order_are_only_bad(people: People, tmp_path: Path):
    middle = np.broadcast_to(people.joints.mean(1, keepdims=True), people.joints.shape)
    scored = read_predictions(write(tmp_path / "a.json", middle), people, LSP14)
    assert score(scored, LSP14)[0].means.a16 < 50


def test_of_two_people_no_order_can_be_told(people: People, tmp_path: Path):
    # somebody seen from behind, left and right taken for each other: wrong, but to be scored
    two = people.take(np.arange(2))
    joints = two.joints[:, LSP14.flip]
    scored = read_predictions(write(tmp_path / "a.json", joints), two, LSP14)
    np.testing.assert_allclose(scored.joints[..., :2], joints, atol=1e-4)


def test_files_that_hold_no_predictions(people: People, tmp_path: Path):
    for name, content, message in (
        ("a.txt", "", "predictions are read from .h5"),
        ("a.mat", "no matlab", "not readable as a MATLAB file"),
        ("a.h5", "no hdf", "not readable as HDF5"),
        ("a.json", "{", "not readable as json"),
        ("b.json", '{"a": 1, "b": 2}', "no predictions: expected preds or .*, found a, b"),
        ("c.json", '[["x"]]', "no array of numbers"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(RtposeError, match=message):
            read_predictions(tmp_path / name, people, LSP14)
    with pytest.raises(RtposeError, match="no such file"):
        read_predictions(tmp_path / "gone.h5", people, LSP14)


def test_without_h5py_it_is_said_what_to_install(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "a.h5", people.joints)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RtposeError, match="needs h5py; run: pip install h5py"):
        read_predictions(path, people, LSP14)


def test_damaged_predictions_end_in_one_line(people: People, tmp_path: Path):
    path = tmp_path / "a.mat"
    # compressed: what is damaged otherwise, scipy may take for memory that it has
    scipy.io.savemat(path, {"preds": people.joints}, do_compression=True)
    whole = path.read_bytes()
    for place in range(140, len(whole), max(len(whole) // 50, 1)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(RtposeError, match=r"a\.mat: "):
            read_predictions(path, people, LSP14)


def test_newells_released_predictions(shared: Path):
    """The official form from files to table: figures of the data's README."""
    split = find_split(shared / "mpii")
    released = shared / "mpii" / "newell_valid_predictions.h5"
    for comparison in ("<=", "<"):
        result = evaluate_predictions(split, released, MPII16, comparison)
        (scores,) = result.scores.values()
        assert (scores[0].measure, scores[0].people) == ("PCKh@0.5", 2958)
        assert scores[0].columns == pytest.approx(
            {
                "Head": 95.94, "Shoulder": 94.68, "Elbow": 88.53, "Wrist": 83.38,
                "Hip": 87.48, "Knee": 83.09, "Ankle": 79.05,
            },
            abs=0.01,
        )  # fmt: skip
        mean = scores[0].means
        assert (mean.p14, mean.w14, mean.a16) == pytest.approx((87.56, 88.04, 88.96), abs=0.01)
    # the file counts from 1: taken from 0, all joints are a pixel off
    off = evaluate_predictions(split, released, MPII16, first_pixel=0)
    assert next(iter(off.scores.values()))[0].auc < scores[0].auc - 0.1


def test_flic_is_measured_by_its_own_torso(shared: Path, tmp_path: Path):
    split = find_split(shared / "flic")
    people, _ = split.read(FLIC11)
    predicted = people.joints.copy()
    a, b = (FLIC11.index[joint] for joint in ("left_shoulder", "right_hip"))
    torso = np.linalg.norm(people.joints[:, a] - people.joints[:, b], axis=1)
    predicted[..., 0] += 0.19 * torso[:, None]
    result = evaluate_predictions(split, write(tmp_path / "a.json", predicted), FLIC11)
    (scores,) = result.scores.values()
    assert scores[0].measure == "PCK@0.2, 12 joints" and scores[0].means.a16 == 100
    assert scores[0].people + scores[0].without_reference == len(people) == 1016
    # from shoulder to hip on the other side the torso is sometimes shorter
    other = Scored(np.dstack([predicted, np.ones(predicted.shape[:2])]), people)
    assert score(other, FLIC11)[0].means.a16 < 100
