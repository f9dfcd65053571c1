"""HDR pictures in the standard range, which is what networks, overlays and most screens know.

In PQ, the curve of HDR10, a picture is grey and flat to whoever does not undo it: limbs are found
in the wrong place, and skeletons drawn into it shine like lamps. HLG, an iPhone's curve, is made
to look right without.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from rtpose.media.video_info import Colour
from rtpose.pose import Image

PQ = 16
"""Transfer characteristics of SMPTE ST 2084, as ITU-T H.273 numbers them."""

_BT709 = 1

_WHITE = 203.0
"""Candelas a square metre of a white sheet in HDR (ITU-R BT.2408): the standard range's white."""

_KNEE = 0.8
"""Part of white from which on highlights are pressed together, so that none is cut off."""


def to_standard_range(image: Image) -> Image:
    """A picture decoded from PQ with the curve of BT.709 screens; its primaries stay.

    Parameters
    ----------
    image : (H, W, 3) uint8
    """
    return np.asarray(cv2.LUT(image, _table()), dtype=np.uint8)


def standard_range(colour: Colour) -> Colour:
    """Tags of what `to_standard_range` made of a picture with these."""
    return replace(colour, transfer=_BT709)


@functools.cache
def _table() -> NDArray[np.uint8]:
    """For each value of 8 bits in PQ the one that shows as much light on a BT.1886 screen."""
    light = _pq_light(np.arange(256) / 255) / _WHITE
    room = 1 - _KNEE
    pressed = _KNEE + room * -np.expm1(-(light - _KNEE) / room)
    shown = np.where(light < _KNEE, light, pressed)
    return np.round(255 * shown ** (1 / 2.4)).astype(np.uint8)


def _pq_light(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Candelas a square metre of PQ values from 0 to 1 (SMPTE ST 2084, equation 5.1)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = values ** (1 / m2)
    return np.asarray(10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))
