"""Pictures as files, whole or not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rtpose.pictures import read_picture


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_pictures_missing_broken_or_cut_short(tmp_path: Path, ending: str):
    path = tmp_path / f"a.{ending}"
    assert read_picture(path) is None
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    cv2.imwrite(str(path), noise)
    image = read_picture(path)
    assert image is not None and image.shape == (60, 80, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, cv2.imread(str(path)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert read_picture(path) is None
    path.write_bytes(b"no picture at all")
    assert read_picture(path) is None
