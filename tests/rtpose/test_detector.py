import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from rtpose.detector import (
    PersonDetector,
    UltralyticsDetector,
    _say_slower,
    load_detector,
)
from rtpose.errors import RtposeError
from rtpose.geometry import box_iou
from rtpose.shipped import shipped_detector
from rtpose.yolo import load_model

ASSETS = Path(importlib.util.find_spec("ultralytics").origin).parent / "assets"
START = Path(__file__).parents[3] / "shared" / "data" / "weights" / "yolo11n_coco.pt"

# xyxy pixels, read off the pictures by eye; the fourth of bus.jpg is cut off by the left edge.
PEOPLE = {
    "bus": [(49, 398, 245, 903), (669, 392, 810, 878), (221, 405, 345, 862), (0, 550, 68, 872)],
    "zidane": [(747, 41, 1148, 712), (149, 203, 1127, 715)],
}


@pytest.fixture(scope="module")
def detector():
    return load_detector()


@pytest.fixture(scope="module")
def pictures():
    return {name: cv2.imread(str(ASSETS / f"{name}.jpg")) for name in PEOPLE}


@pytest.mark.parametrize("size", [None, 640])
@pytest.mark.parametrize("name", PEOPLE)
def test_finds_the_people_and_nothing_else(detector, pictures, name, size):
    boxes, scores = (detector if size is None else load_detector(size=size))(pictures[name])
    overlap = box_iou(np.float32(PEOPLE[name]), boxes)
    # At the default size the man who is half out of bus.jpg scores a hair above the threshold,
    # so only those who are wholly in the picture are asked for; at 640 everybody is.
    asked = 3 if (name, size) == ("bus", None) else len(PEOPLE[name])
    assert overlap[:asked].max(axis=1).min() > 0.75
    assert overlap.max(axis=0).min() > 0.75
    assert len(boxes) <= len(PEOPLE[name])
    assert boxes.dtype == scores.dtype == np.float32
    assert (np.diff(scores) <= 0).all()
    height, width = pictures[name].shape[:2]
    assert boxes.min() >= 0
    assert (boxes <= [width, height] * 2).all()


def test_nobody_gives_empty_arrays(detector):
    boxes, scores = detector(np.full((120, 160, 3), 90, np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("shape", [(359, 641), (1, 1), (3, 500), (37, 37)])
def test_takes_any_shape(detector, shape):
    boxes, scores = detector(np.zeros((*shape, 3), np.uint8), confidence=0.0)
    assert len(boxes) == len(scores)
    assert (boxes <= [shape[1], shape[0]] * 2).all()


def test_confidence_and_overlap_mean_what_they_say(detector, pictures):
    image = pictures["bus"]
    assert (detector(image, confidence=0.6)[1] >= 0.6).all()
    assert len(detector(image, confidence=0.05)[0]) >= len(detector(image, confidence=0.6)[0])
    kept = detector(image, confidence=0.01, overlap=0.3)[0]
    apart = box_iou(kept, kept) - np.eye(len(kept))
    # Suppression runs before clipping, which changes overlaps at the edges a little.
    assert apart.max() < 0.4
    assert len(detector(image, confidence=0.01, overlap=0.9)[0]) > len(kept)


def test_engines_agree(pictures):
    model, info = load_model(shipped_detector())
    torch_one = PersonDetector(model, "cpu", 320, engine="torch")
    openvino = load_detector(size=320, precision="fp32")
    for image in pictures.values():
        ours, ours_scores = torch_one(image)
        theirs, theirs_scores = openvino(image)
        np.testing.assert_allclose(ours, theirs, atol=0.5)
        np.testing.assert_allclose(ours_scores, theirs_scores, atol=5e-3)
    assert (torch_one.precision, openvino.precision, info.yaml["nc"]) == ("fp32", "fp32", 80)


def test_without_openvino_torch_finds_them_and_that_is_said_once(pictures, monkeypatch, caplog):
    monkeypatch.setattr("rtpose.detector.why_no_openvino", lambda: "openvino is broken; mend it")
    _say_slower.cache_clear()
    with caplog.at_level(logging.WARNING):
        first, _ = load_detector(size=320), load_detector(size=320)
    assert (first.name, first.precision) == ("person-yolo11n (torch)", "fp32")
    boxes, _ = first(pictures["zidane"])
    assert box_iou(np.float32(PEOPLE["zidane"]), boxes).max(axis=1).min() > 0.75
    (said,) = caplog.messages
    assert said == "openvino is broken; mend it. Finding people with PyTorch, which is slower"
    with pytest.raises(RtposeError, match="the openvino detector: openvino is broken; mend it"):
        load_detector(engine="openvino")


def test_eight_bits_find_the_same_people(pictures):
    exact, rounded = (load_detector(precision=name) for name in ("fp32", "int8"))
    assert (exact.precision, rounded.precision) == ("fp32", "int8")
    for image in pictures.values():
        found = exact(image), rounded(image)
        for (boxes, scores), (others, their_scores) in (found, found[::-1]):
            sure = scores > 0.5
            overlap = box_iou(boxes[sure], others)
            assert overlap.max(axis=1).min() > 0.85
            assert np.abs(scores[sure] - their_scores[overlap.argmax(axis=1)]).max() < 0.15


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_agrees_with_cpu(pictures):
    detector = load_detector(engine="torch")
    gpu = load_detector(device="cuda")
    assert gpu.precision == "fp16"
    for image in pictures.values():
        on_cpu, on_gpu = detector(image)[0], gpu(image)[0]
        assert box_iou(on_cpu, on_gpu).max(axis=1).min() > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"which": "nowhere/yolo11n.pt"}, "no such file"),
        ({"which": "yolo11n.pt"}, "never downloaded"),
        ({"device": "quantum"}, "unknown device"),
        ({"device": "cuda:99"}, "CUDA GPUs"),
        ({"size": 300}, "multiple of 32"),
        ({"size": 0}, "multiple of 32"),
        ({"confidence": 35}, "confidence 35: must be from 0 to 1"),
        ({"confidence": -0.1}, "from 0 to 1"),
        ({"confidence": float("nan")}, "from 0 to 1"),
        ({"engine": "steam"}, "unknown detector engine"),
        ({"precision": "fp8"}, "fp8"),
        ({"precision": "fp8", "engine": "torch"}, "unknown precision"),
    ],
)
def test_says_what_is_wrong(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RtposeError, match=message) as error:
        load_detector(**arguments)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["broken.pt", "broken.onnx", "text.txt", "a folder"])
def test_refuses_files_that_are_no_model(tmp_path, name):
    path = tmp_path / name
    if path.suffix:
        path.write_text("not a model")
    else:
        path.mkdir()
    with pytest.raises(RtposeError, match=name):
        load_detector(path)


@pytest.mark.skipif(not START.is_file(), reason="needs the shared data's yolo11n_coco.pt")
def test_takes_an_ultralytics_model(pictures):
    user = load_detector(START, size=320)
    assert isinstance(user, UltralyticsDetector)
    for name, people in PEOPLE.items():
        boxes, scores = user(pictures[name])
        assert boxes.dtype == scores.dtype == np.float32
        assert box_iou(np.float32(people), boxes).max(axis=1)[:2].min() > 0.7
    assert user(np.zeros((64, 64, 3), np.uint8))[0].shape == (0, 4)


def test_ultralytics_is_not_left_to_read_a_gpus_name(monkeypatch):
    """8.4.60 reads "cuda:1" as the only GPU that this process may see, and computes on cuda:0."""
    asked = []

    def predict(image, *, device, **options):
        asked.append(device)
        return [SimpleNamespace(boxes=SimpleNamespace(xyxy=torch.zeros(0, 4), conf=torch.zeros(0)))]

    monkeypatch.setattr(
        "rtpose.detector.open_yolo", lambda path: (SimpleNamespace(predict=predict), [0])
    )
    UltralyticsDetector(Path("yolo.pt"), "cuda:1", 320)(np.zeros((64, 64, 3), np.uint8))
    assert asked == [torch.device("cuda", 1)]


def test_refuses_a_model_without_persons(tmp_path):
    from rtpose.offline import import_ultralytics

    yolo = import_ultralytics().YOLO("yolo11n.yaml")
    yolo.model.names = {i: f"thing {i}" for i in range(80)}
    yolo.save(tmp_path / "things.pt")
    with pytest.raises(RtposeError, match="no class named person"):
        load_detector(tmp_path / "things.pt")


def test_import_is_lazy():
    program = (
        "import sys, rtpose.detector; assert not {'ultralytics', 'openvino'} & sys.modules.keys()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
