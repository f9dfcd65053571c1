import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file, save_file

from rtpose.errors import RtposeError
from rtpose.geometry import box_iou
from rtpose.shipped import shipped_detector
from rtpose.yolo import (
    PersonNetwork,
    build_model,
    eight_bit_convolutions,
    load_model,
    read_predictions,
    save_model,
    suppress_overlaps,
)


@pytest.fixture(scope="module")
def shipped():
    return load_model(shipped_detector())


@pytest.fixture()
def stored(shipped, tmp_path):
    """A copy of the shipped file, and a way to change it."""
    path = tmp_path / "detector.safetensors"
    save_model(*shipped, path)

    def change(tensors=None, metadata=None):
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            kept = file.metadata()
        new = load_file(path) | (tensors or {})
        save_file(
            {key: value for key, value in new.items() if value is not None},
            path,
            kept | (metadata or {}),
        )
        return path

    return change


def test_stores_and_loads_the_same_network(shipped, tmp_path):
    model, info = shipped
    save_model(model, info, tmp_path / "copy.safetensors")
    again, info_again = load_model(tmp_path / "copy.safetensors")
    assert info_again == info
    for (key, value), other in zip(
        model.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), key


def test_ranges_come_back_and_must_fit(shipped, tmp_path):
    model, info = shipped
    path = tmp_path / "copy.safetensors"
    ranges = dict.fromkeys(eight_bit_convolutions(model), (-0.25, 7.5))
    save_model(model, replace(info, ranges=ranges), path)
    assert load_model(path)[1].ranges == ranges
    missing = {name: each for name, each in ranges.items() if name != "model.1.conv"}
    for bad in (missing, {**ranges, "model.0.conv": (0.0, 1.0)}):
        save_model(model, replace(info, ranges=bad), path)
        with pytest.raises(RtposeError, match="the ranges in its metadata are not those of its"):
            load_model(path)


def test_the_ends_stay_in_float(shipped):
    """The first convolution sees the picture, the last of each branch are the answers."""
    model, _ = shipped
    names = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv2d)}
    ends = {f"model.23.cv{branch}.{level}.2" for branch in (2, 3) for level in range(3)}
    left = names - set(eight_bit_convolutions(model))
    assert left == {"model.0.conv", "model.23.dfl.conv", *ends}


def test_shipped_file_is_small_and_says_what_it_is(shipped):
    _, info = shipped
    assert shipped_detector().stat().st_size < 6e6
    assert info.size % 32 == 0
    assert info.notes["licence"] == "AGPL-3.0-or-later"
    assert {"data", "date", "scores"} <= info.notes.keys()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"model.0.conv.weight": torch.zeros(16, 3, 5, 5)}, "model.0.conv.weight has shape"),
        ({"model.0.conv.weight": None}, "model.0.conv.weight is missing"),
        ({"other": torch.zeros(1)}, "other does not belong"),
        ({"model.0.conv.bias": torch.full((16,), torch.nan)}, "not finite"),
    ],
)
def test_refuses_weights_that_do_not_fit(stored, tensors, message):
    with pytest.raises(RtposeError, match=message):
        load_model(stored(tensors=tensors))


@pytest.mark.parametrize(
    "metadata",
    [
        {"format": "something"},
        {"size": "big"},
        {"yaml": "{"},
        {"yaml": "[]"},
        {"yaml": json.dumps({"backbone": [], "head": []})},
    ],
)
def test_refuses_broken_metadata(stored, metadata):
    with pytest.raises(RtposeError):
        load_model(stored(metadata=metadata))


def test_no_version_of_ultralytics_leaves_an_activation_out(shipped, monkeypatch):
    """As 8.4.0 to 8.4.60 did: the shipped detector found fewer people."""
    from ultralytics.nn import tasks

    build = tasks.DetectionModel

    def without(*args, **options):
        model = build(*args, **options)
        (pooled,) = [m for m in model.modules() if type(m).__name__ == "SPPF"]
        pooled.cv1.act = torch.nn.Identity()
        return model

    monkeypatch.setattr(tasks, "DetectionModel", without)
    again, _ = load_model(shipped_detector())
    pictures = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        want, have = (PersonNetwork(model).eval()(pictures) for model in (shipped[0], again))
    assert torch.equal(want, have)


def test_never_runs_what_a_description_says(shipped, tmp_path):
    target = tmp_path / "made"
    evil = dict(shipped[1].yaml) | {"activation": f"open({str(target)!r}, 'w')"}
    with pytest.raises(RtposeError, match="activation"):
        build_model(evil)
    strange = dict(shipped[1].yaml)
    strange["head"] = [*strange["head"][:-1], [[16, 19, 22], 1, "attempt_download", []]]
    with pytest.raises(RtposeError, match="attempt_download"):
        build_model(strange)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04K\x01."])
def test_refuses_other_files(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(RtposeError, match=r"x\.safetensors"):
        load_model(path)


def test_decoding_agrees_with_ultralytics(shipped):
    model, _ = shipped
    pictures = torch.randint(0, 256, (1, 96, 160, 3), dtype=torch.uint8)
    with torch.inference_mode():
        raw = PersonNetwork(model).eval()(pictures)[0]
        model.eval()
        decoded = model(pictures.permute(0, 3, 1, 2).flip(1) / 255)[0][0].numpy()
    boxes, scores = read_predictions(raw, (96, 160), confidence=0.0)
    order = np.argsort(-decoded[4], kind="stable")[: len(scores)]
    centre, side = decoded[:2, order].T, decoded[2:4, order].T
    np.testing.assert_allclose(scores, decoded[4, order], atol=1e-6)
    np.testing.assert_allclose(
        boxes[:50], np.hstack([centre - side / 2, centre + side / 2])[:50], atol=1e-3
    )


def test_keeps_only_confident_cells_best_first():
    raw = torch.zeros(65, 84)
    raw[-1] = -10
    raw[-1, [3, 70]] = torch.tensor([1.0, 2.0])
    boxes, scores = read_predictions(raw, (64, 64), confidence=0.5)
    np.testing.assert_allclose(scores, torch.tensor([2.0, 1.0]).sigmoid(), rtol=1e-6)
    # Flat logits: every distance is the mean bin, 7.5 strides, around the cell's centre.
    np.testing.assert_allclose(boxes[1], [28 - 60, 4 - 60, 28 + 60, 4 + 60], atol=1e-4)
    assert read_predictions(raw, (64, 64), confidence=0.99)[0].shape == (0, 4)


coordinates = arrays(
    np.float32, st.tuples(st.integers(0, 20), st.just(4)), elements=st.floats(0, 100, width=32)
)


@given(coordinates, st.integers(0, 9))
def test_suppression_agrees_with_torchvision(corners, seed):
    torchvision_ops = pytest.importorskip("torchvision.ops")
    boxes = np.hstack([corners[:, :2], corners[:, :2] + corners[:, 2:] + 1]).astype(np.float32)
    scores = np.random.default_rng(seed).permutation(len(boxes)).astype(np.float32) + 1
    ours = suppress_overlaps(boxes, scores, 0.5)
    theirs = torchvision_ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.5)
    # Overlaps of exactly a half may round to either side.
    iou = box_iou(boxes, boxes)
    if not (np.abs(iou - 0.5) < 1e-5).any():
        np.testing.assert_array_equal(ours, theirs.numpy())
