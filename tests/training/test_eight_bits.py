"""A detector is taught to answer in eight bits as in float."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpose.detector import load_detector
from rtpose.errors import RtposeError
from rtpose.photographs import PEOPLE, read_photograph
from rtpose.quantised import quantise
from rtpose.shipped import shipped_detector
from rtpose.yolo import PersonNetwork, eight_bit_convolutions, load_model, save_model
from training.detector import DetectorConfig
from training.detector_data import LabelledPicture
from training.eight_bits import (
    EightBitConfig,
    distance,
    measure_ranges,
    quantise_detector,
    teach,
)

TINY = EightBitConfig(steps=8, batch=1, sizes=(96,), mosaic=0.0, measured_on=1, ema=0.3)


@pytest.fixture()
def pictures(tmp_path):
    path = tmp_path / "zidane.png"
    cv2.imwrite(str(path), cv2.resize(read_photograph("zidane.jpg"), (160, 90)))
    return [LabelledPicture(path, np.zeros((0, 4), np.float32), "set", False)]


@settings(max_examples=20)
@given(st.integers(0, 2**16), st.floats(0.01, 3))
def test_distance_is_nought_only_between_the_same(seed, noise):
    random = torch.Generator().manual_seed(seed)
    raw = torch.randn(2, 65, 21, generator=random)
    other = raw + noise * torch.randn(2, 65, 21, generator=random)
    assert distance(raw, raw).abs() < 1e-5
    assert distance(other, raw) > 1e-6


def test_sides_count_where_there_is_a_person():
    raw = torch.zeros(1, 65, 2)
    raw[0, 64] = torch.tensor([6.0, -6.0])
    at_person, elsewhere = raw.clone(), raw.clone()
    at_person[0, 3, 0] = 4
    elsewhere[0, 3, 1] = 4
    assert distance(at_person, raw) > 100 * distance(elsewhere, raw) > 0


def test_ranges_are_of_every_convolution_and_of_its_inputs(pictures):
    model, _ = load_model(shipped_detector())
    ranges = measure_ranges(model, pictures, 96, TINY)
    assert ranges.keys() == set(eight_bit_convolutions(model))
    # SiLU's least value is -0.2785, and a bottleneck adds two of it
    assert -0.279 < ranges["model.1.conv"][0] < -0.27
    assert all(low < 0 < high < 100 for low, high in ranges.values())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_teaching_brings_eight_bits_nearer_and_leaves_float_near(pictures):
    model, _ = load_model(shipped_detector())
    ranges = measure_ranges(model, pictures, 96, TINY)
    # so coarse that there is something to learn in a few steps
    ranges = {name: (low, high / 2) for name, (low, high) in ranges.items()}
    before, _ = load_model(shipped_detector())
    image = torch.from_numpy(cv2.resize(pictures[0].read(), (96, 64)))[None]
    taught = teach(model, ranges, pictures, replace(TINY, learning_rate=3e-4, steps=16))
    with torch.inference_mode():
        wanted = PersonNetwork(before)(image)
        rounded, learnt, in_float = (
            float(distance(PersonNetwork(network)(image), wanted))
            for network in (quantise(before, ranges), quantise(taught, ranges), taught)
        )
    assert learnt < 0.7 * rounded
    assert in_float < 0.5 * rounded


def test_from_a_detector_without_to_one_with_eight_bits(tmp_path):
    for name in PEOPLE:
        cv2.imwrite(str(tmp_path / name), cv2.resize(read_photograph(name), None, fx=0.3, fy=0.3))
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 255, (4, 4, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), cv2.resize(noise, (90, 90)))
    images = [
        {"id": i, "file_name": name, "source": "human_v2", "boxes_complete": True}
        for i, name in enumerate([*PEOPLE, *(f"{k}.jpg" for k in range(8))])
    ]
    boxes = [{"image_id": image["id"], "bbox": [10, 10, 30, 60]} for image in images]
    labels = tmp_path / "train.json"
    labels.write_text(json.dumps({"images": images, "annotations": boxes}))

    plain, out = tmp_path / "plain.safetensors", tmp_path / "out.safetensors"
    model, info = load_model(shipped_detector())
    save_model(model, replace(info, ranges={}), plain)
    with pytest.raises(RtposeError, match="never measured for int8: run python -m training quant"):
        load_detector(plain, precision="int8")
    split = DetectorConfig(held_back=1, chosen_on=1)
    with pytest.raises(RtposeError, match="no such folder"):  # said before anything is taught
        quantise_detector(plain, labels, tmp_path, tmp_path / "gone" / "d.safetensors", split, TINY)
    quantise_detector(plain, labels, tmp_path, out, split, TINY)
    assert load_model(out)[1].ranges.keys() == set(eight_bit_convolutions(model))
    assert "eight bits" in load_model(out)[1].notes
    assert load_detector(out, precision="int8").precision == "int8"
