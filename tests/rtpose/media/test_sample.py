"""The clip that demo, tests and benchmarks run on is real, short and whole."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media.sample import write_sample
from rtpose.media.sources import VideoFile


def test_the_sample_is_a_clip_with_sound(tmp_path):
    path = tmp_path / "sample.mp4"
    write_sample(path, seconds=1.0, size=(160, 120))
    with VideoFile(path) as video:
        frames = list(video)
    assert video.broken is None
    assert video.info.rate == Fraction(30000, 1001) and video.info.has_audio
    assert (video.info.width, video.info.height) == (160, 120)
    assert len(frames) == video.info.frames == 30
    # The view moves, and between the photographs it jumps.
    steps = [float(np.abs(b.image.astype(int) - a.image).mean()) for a, b in pairwise(frames)]
    assert np.argmax(steps) == 14
    assert max(steps) > 40 and 0.5 < np.median(steps) < 25
    with av.open(str(path)) as file:
        sound = np.concatenate([f.to_ndarray().ravel() for f in file.decode(audio=0)])
    assert 0.01 < np.abs(sound).max() < 0.1
    assert len(sound) / 48000 == pytest.approx(1.0, abs=0.06)


def test_an_unwritable_place_is_refused(tmp_path):
    with pytest.raises(RtposeError, match="cannot be written"):
        write_sample(tmp_path / "nowhere" / "sample.mp4", seconds=0.1, size=(64, 48))
