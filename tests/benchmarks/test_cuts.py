from pathlib import Path

import numpy as np
import pytest

from benchmarks.cuts import LONG, SIDE, false_cuts, filled, film
from rtpose.media.sample import write_sample


@pytest.mark.parametrize("shape", [(300, 500), (500, 300), (401, 400), (1, 1)])
def test_the_middle_of_a_picture_fills_the_frame(shape: tuple[int, int]):
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 2, shape[1] // 2] = 255
    frame = filled(image)
    assert frame.shape == (SIDE, SIDE, 3)
    assert frame[SIDE // 2, SIDE // 2].min() > 0


def test_a_film_is_one_picture_after_the_other():
    scenes = np.zeros((SIDE, SIDE, 3), np.uint8), np.full((SIDE, SIDE, 3), 9, np.uint8)
    nobody = np.zeros((0, 4)), np.zeros(0), np.zeros((0, 21, 3))
    frames = list(film(scenes, (nobody, nobody)).frames())
    assert [frame.image.max() for frame in frames] == [0] * LONG + [9] * LONG


def test_the_sample_has_one_cut(tmp_path: Path):
    write_sample(tmp_path / "clip.mp4", seconds=1)
    assert false_cuts(tmp_path / "clip.mp4") == (30, 1)
