"""Photographs of real people that are on every machine: the wheel of ultralytics carries two."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np

from rtpose.errors import RtposeError
from rtpose.pose import FloatArray, Image

PEOPLE: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "bus.jpg": ((49, 398, 245, 903), (669, 392, 810, 878), (221, 405, 345, 862)),
    "zidane.jpg": ((747, 41, 1148, 712), (149, 203, 1127, 715)),
}
"""Boxes of the people who are wholly in view, x0, y0, x1, y1 in pixels, read off by eye."""


def read_photograph(name: str) -> Image:
    """One of `PEOPLE`'s pictures.

    Raises
    ------
    RtposeError
        If it is not where ultralytics installs it.
    """
    # Found without importing ultralytics, which takes seconds.
    package = importlib.util.find_spec("ultralytics")
    places = package.submodule_search_locations if package else None
    for place in places or ():
        path = Path(place, "assets", name)
        if path.is_file():
            # Not cv2.imread, which cannot open every path on Windows.
            data = np.frombuffer(path.read_bytes(), np.uint8)
            return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    raise RtposeError(f"{name} of ultralytics is not installed; pip install ultralytics")


def photographed_people() -> list[tuple[Image, FloatArray]]:
    """Each photograph with the boxes (N, 4) of its people."""
    return [(read_photograph(name), np.array(boxes, np.float32)) for name, boxes in PEOPLE.items()]
