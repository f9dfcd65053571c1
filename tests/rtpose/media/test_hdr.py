"""HDR pictures look like those of the standard range, and are passed on as such."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from rtpose.media.hdr import PQ, to_standard_range
from rtpose.media.sinks import VideoWriter
from rtpose.media.sources import VideoFile
from rtpose.media.video_info import Colour, VideoInfo

HLG = 18


def tagged(path, image, transfer):
    """Three frames of one picture in BT.2020 with that curve."""
    height, width = image.shape[:2]
    info = VideoInfo(width, height, Fraction(25), Fraction(1, 12800), colour=Colour(9, 9, transfer))
    with VideoWriter(path, info) as writer:
        for index in range(3):
            writer.write(image, index / 25)
    return path


def in_pq(image):
    """The picture of a BT.1886 screen with a white of 203 cd/m2 (SMPTE ST 2084, equation 5.2)."""
    y = (203 * (image / 255) ** 2.4 / 10_000) ** 0.1593017578125
    values = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    return np.round(255 * values).astype(np.uint8)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, 0),
        (0.5081, 255 * (100 / 203) ** (1 / 2.4)),  # 100 cd/m2, of ITU-R BT.2408's table
        (0.7518, 255),  # 1000 cd/m2
        (1, 255),
    ],
)
def test_known_values_of_pq(value, shown):
    image = np.full((2, 2, 3), round(255 * value), np.uint8)
    np.testing.assert_allclose(to_standard_range(image), shown, atol=2)


def test_brighter_stays_brighter():
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    assert (np.diff(to_standard_range(ramp).astype(int), axis=1) >= 0).all()


def test_a_video_in_pq_reads_as_what_was_filmed(tmp_path, tools, caplog):
    filmed = tools.quarters((64, 48))
    with VideoFile(tagged(tmp_path / "pq.mp4", in_pq(filmed), PQ)) as video:
        image, colour = next(iter(video)).image, video.info.colour
    for y, x in [(10, 10), (10, 54), (38, 10), (38, 54)]:
        np.testing.assert_allclose(image[y, x].astype(int), filmed[y, x], atol=12)
    assert colour == Colour(9, 9, 1)
    assert "pq.mp4: HDR" in caplog.text


def test_hlg_is_left_as_it_is(tmp_path, tools, caplog):
    filmed = tools.quarters((64, 48))
    with VideoFile(tagged(tmp_path / "hlg.mp4", filmed, HLG)) as video:
        image, colour = next(iter(video)).image, video.info.colour
    for y, x in [(10, 10), (10, 54), (38, 10), (38, 54)]:
        np.testing.assert_allclose(image[y, x].astype(int), filmed[y, x], atol=8)
    assert colour == Colour(9, 9, HLG)
    assert not caplog.text
