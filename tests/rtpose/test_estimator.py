from typing import Any

import cv2
import numpy as np
import pytest
import torch

from rtpose.bench.inference import no_detector
from rtpose.checkpoint import load_checkpoint
from rtpose.engines.eager import EagerEngine
from rtpose.estimator import Estimator, load_estimator
from rtpose.geometry import CROP_MARGIN
from rtpose.openvino_model import compile_for_cpu
from rtpose.photographs import photographed_people
from rtpose.pose import Image
from rtpose.shipped import find_weights
from rtpose.skeleton import BODY21

CELLS = 16


class ColourEngine:
    """Answers with heatmaps that peak where a crop is brightest in red: an engine one can see."""

    name, device, precision, input_size = "colour", "cpu", "fp32", 4 * CELLS

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(crops))
        red = torch.nn.functional.avg_pool2d(crops[:, :1].float(), 4) + 1e-3
        heatmap = red**4
        heatmap = heatmap / heatmap.sum(dim=(2, 3), keepdim=True)
        return heatmap.repeat(1, len(BODY21), 1, 1)

    def warm_up(self) -> None:
        pass


def red_dots(places: list[tuple[int, int]]) -> Image:
    image = np.zeros((300, 400, 3), np.uint8)
    for x, y in places:
        image[y - 3 : y + 4, x - 3 : x + 4, 2] = 255
    return image


def boxes_around(places: list[tuple[int, int]]) -> np.ndarray:
    return np.array([[x - 30, y - 45, x + 20, y + 35] for x, y in places], np.float32)


@pytest.mark.parametrize(
    "image",
    [
        None,
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((3, 20, 30), np.uint8),
        np.zeros((2, 20, 30, 3), np.uint8),
        np.zeros((20, 30, 3), np.float32),
        np.zeros((20, 30, 3), np.uint16),
        np.zeros((0, 30, 3), np.uint8),
    ],
    ids=lambda image: "None" if image is None else f"{image.shape} {image.dtype}",
)
def test_what_is_no_picture_is_refused(image: Any):
    """Else nobody is found in it, and nothing said."""
    estimator = Estimator(no_detector, ColourEngine(), BODY21)
    with pytest.raises(ValueError, match=r"expected a \(H, W, 3\) uint8 image, got"):
        estimator(image)


def test_pixels_that_are_no_array_are_not_repeated_in_the_error():
    """They would be megabytes of numbers."""
    estimator = Estimator(no_detector, ColourEngine(), BODY21)
    pixels: Any = np.zeros((20, 30, 3), np.uint8).tolist()
    with pytest.raises(ValueError, match=r"got a list$"):
        estimator(pixels)


def test_joints_come_back_to_where_they_are_in_the_frame():
    places = [(80, 90), (200, 150), (333, 222)]
    boxes = boxes_around(places)
    estimator = Estimator(
        lambda image: (boxes, np.array([0.9, 0.8, 0.7], np.float32)),
        ColourEngine(),
        BODY21,
    )
    poses = estimator(red_dots(places))
    assert [round(p.score, 2) for p in poses] == [0.9, 0.8, 0.7]
    for pose, (x, y), box in zip(poses, places, boxes, strict=True):
        np.testing.assert_array_equal(pose.box, box)
        assert pose.joints.shape == (21, 3) and pose.joints.dtype == np.float32
        # a crop pixel is 100/64 of the frame's
        assert np.abs(pose.joints[:, :2] - (x, y)).max() < 2


def test_nobody():
    engine = ColourEngine()
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    assert Estimator(lambda image: empty, engine, BODY21)(red_dots([])) == ()
    assert engine.batches == []


def test_a_mirrored_picture_gives_mirrored_joints_with_flip_test(bus: Image):
    """Averaging with the mirror image makes the whole estimator symmetric."""
    # a trained one: on the flat maps of another a pixel that rounds otherwise moves the tops
    nano = load_checkpoint(find_weights("nano"))
    estimator = Estimator(no_detector, EagerEngine(nano, flip_test=True), BODY21)
    # a square of as many pixels as the crop has: between pixels the mirror rounds otherwise
    picture = np.ascontiguousarray(bus[::4, ::4])
    width, half = picture.shape[1], nano.input_size / CROP_MARGIN / 2
    box = np.array([[50, 150 - half, 90, 150 + half]], np.float32)
    mirrored_box = np.array([[width - 90, 150 - half, width - 50, 150 + half]], np.float32)
    plain = estimator.place_joints(picture, box)[0]
    mirror = estimator.place_joints(np.ascontiguousarray(picture[:, ::-1]), mirrored_box)[0]
    back = mirror[list(BODY21.flip)]
    back[:, 0] = width - 1 - back[:, 0]
    np.testing.assert_allclose(back, plain, atol=0.001)


def test_people_too_small_for_the_detectors_own_size_are_found_at_a_larger_one():
    photograph, boxes = next(iter(photographed_people()))
    scale = 96 / float(boxes[0, 3] - boxes[0, 1])
    small = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.full((1080, 1920, 3), 128, np.uint8)
    picture[40 : 40 + len(small), 60 : 60 + small.shape[1]] = small
    assert len(load_estimator(engine="eager")(picture)) == 0
    assert len(load_estimator(engine="eager", detect_size=960)(picture)) >= 2


def test_stage_threads_are_those_of_the_detector_and_of_a_single_crop(
    monkeypatch: pytest.MonkeyPatch, bus: Image
):
    asked: dict[str, list[int | None]] = {"person_network": [], "engines.openvino": []}
    for module, threads_asked in asked.items():

        def spy(*args: Any, seen: list[int | None] = threads_asked, **options: Any) -> Any:
            seen.append(options.get("threads"))
            return compile_for_cpu(*args, **options)

        monkeypatch.setattr(f"rtpose.{module}.compile_for_cpu", spy)
    poses = load_estimator(engine="openvino", stage_threads=1)(bus)
    # before, where it is not in the cache: precisions are timed, and compared
    assert asked["person_network"][-1] == 1
    # any number of crops, then one
    assert asked["engines.openvino"][-2:] == [None, 1]
    others = load_estimator(engine="openvino")(bus)
    for pose, other in zip(poses, others, strict=True):
        np.testing.assert_allclose(pose.joints, other.joints, atol=0.5)
