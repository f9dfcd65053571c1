"""Whether a frame is another scene than the one before: a cut in a film."""

from __future__ import annotations

import cv2
import numpy as np

from rtpose.pose import FloatArray, Image

_SIDE = 48
"""Of a scene's sketch, in cells; small, so that what moves in a scene changes little of it."""

_FINE, _COARSE = 1.0, 8.0
"""Standard deviations, in cells, between which the structures of a sketch lie. Light that changes
is coarser, and of the bars beside narrower pictures that leaves the edge."""

_PATTERN = np.random.default_rng(0).normal(0, 2.0, (_SIDE, _SIDE)).astype(np.float32)
"""Faint, in grey levels, and in all sketches: by it blank pictures are like each other."""

_SWAY = (round(0.1 * _SIDE), round(0.15 * _SIDE))
"""Cells up and down, left and right that a camera may turn from frame to frame."""

_ALIKE = 0.7
"""Least correlation of a scene with itself a tenth of a second later. Somebody who walks past close
to the camera took it down to 0.82; of photographs from other places it was lower in all but one of
a hundred, and in all but one of ten where somebody stands large in the middle of both."""


def sketch(image: Image) -> FloatArray:
    """The structure of a picture, (48, 48) float32 whatever its size, for `is_cut`."""
    # four points a cell each way: all pixels would take ten times as long and tell no more
    points = cv2.resize(image, (4 * _SIDE, 4 * _SIDE), interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(points, cv2.COLOR_BGR2GRAY)
    cells = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    cells += _PATTERN
    fine, coarse = (cv2.GaussianBlur(cells, (0, 0), sigma) for sigma in (_FINE, _COARSE))
    return np.asarray(fine - coarse, np.float32)


def is_cut(before: FloatArray, now: FloatArray) -> bool:
    """Whether two sketches, taken a tenth of a second apart at most, are of different scenes."""
    up, left = _SWAY
    middle = before[up:-up, left:-left]
    return bool(cv2.matchTemplate(now, middle, cv2.TM_CCOEFF_NORMED).max() < _ALIKE)
