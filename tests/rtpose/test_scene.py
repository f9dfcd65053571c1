"""Cuts in films: seen where there is one, and only there."""

from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpose.media.sample import write_sample
from rtpose.media.sources import VideoFile
from rtpose.photographs import PEOPLE, read_photograph
from rtpose.pose import Image
from rtpose.scene import is_cut, sketch

BUS, ZIDANE = (read_photograph(name) for name in sorted(PEOPLE))
BLANK = np.zeros((360, 640, 3), np.uint8)


def view(image: Image, x: float, y: float, size: tuple[int, int] = (640, 360)) -> Image:
    """Three quarters of a picture, so many parts of it from the left and the top."""
    height, width = image.shape[:2]
    left, top = round(x * width), round(y * height)
    part = image[top : top + height * 3 // 4, left : left + width * 3 // 4]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("size", [(640, 360), (1080, 1920), (64, 48), (20, 20)])
@pytest.mark.parametrize("light", [1.0, 0.1])
def test_another_scene_is_a_cut(size: tuple[int, int], light: float):
    bus, zidane = (sketch((light * cv2.resize(i, size)).astype(np.uint8)) for i in (BUS, ZIDANE))
    assert bus.shape == (48, 48) and bus.dtype == np.float32
    assert is_cut(bus, zidane) and is_cut(zidane, bus)


def test_black_pictures_are_a_scene_of_their_own():
    blank, bus = sketch(BLANK), sketch(BUS)
    assert is_cut(bus, blank) and is_cut(blank, bus)
    assert not is_cut(blank, sketch(BLANK + 3))


def test_in_letterboxes_too():
    bars = [cv2.copyMakeBorder(i, 90, 90, 0, 0, cv2.BORDER_CONSTANT) for i in (BUS, ZIDANE)]
    assert is_cut(*map(sketch, bars))


@pytest.mark.parametrize("photograph", [BUS, ZIDANE], ids=["bus", "zidane"])
@given(
    x=st.floats(-0.06, 0.06),
    y=st.floats(-0.04, 0.04),
    light=st.floats(0.7, 1.3),
    seed=st.integers(0, 100),
)
def test_a_camera_that_turns_light_and_noise_are_none(
    photograph: Image, x: float, y: float, light: float, seed: int
):
    before, now = view(photograph, 0.1, 0.1), view(photograph, 0.1 + x, 0.1 + y)
    noise = np.random.default_rng(seed).normal(0, 8, now.shape)
    noisy = np.clip(light * now + noise, 0, 255).astype(np.uint8)
    assert not is_cut(sketch(before), sketch(noisy))


def test_the_sample_has_one_cut(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    write_sample(path)
    with VideoFile(path) as video:
        sketches = [sketch(frame.image) for frame in video]
    cuts = [n for n, pair in enumerate(pairwise(sketches), start=1) if is_cut(*pair)]
    assert cuts == [len(sketches) // 2]


def test_people_who_move_are_none(shared: Path):
    for path in sorted((shared / "videos").glob("*.mp4")):
        with VideoFile(path) as video:
            sketches = [sketch(frame.image) for frame in islice(video, 400)]
        assert not any(is_cut(*pair) for pair in pairwise(sketches)), path.name
