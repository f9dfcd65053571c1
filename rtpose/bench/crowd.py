"""Pictures with as many people as one likes: real ones, cut out of a clip and set side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from rtpose.errors import RtposeError
from rtpose.pose import Detections, FloatArray, Image

SIZE = (1280, 720)
"""Width and height of the pictures."""

_GREY = 114
_AIR = 0.08
"""Surroundings kept on each side of a person, as a part of the box."""

_LEAST_HEIGHT = 100
"""Pixels below which a person is too small to be enlarged."""

Person = tuple[Image, FloatArray]
"""A picture of one person and the person's box (4,) in it."""


def cut_people(images: Sequence[Image], detector: Callable[[Image], Detections]) -> list[Person]:
    """Everybody of a decent size in some pictures.

    Raises
    ------
    RtposeError
        If the detector finds nobody.
    """
    people: list[Person] = []
    for image in images:
        height, width = image.shape[:2]
        for box in detector(image)[0]:
            x0, y0, x1, y1 = (float(v) for v in box)
            if y1 - y0 < _LEAST_HEIGHT:
                continue
            air_x, air_y = _AIR * (x1 - x0), _AIR * (y1 - y0)
            left, top = max(int(x0 - air_x), 0), max(int(y0 - air_y), 0)
            right, bottom = min(math.ceil(x1 + air_x), width), min(math.ceil(y1 + air_y), height)
            corner = np.array([left, top, left, top], np.float32)
            people.append((image[top:bottom, left:right].copy(), box - corner))
    if not people:
        raise RtposeError("the detector finds nobody in the embedded clip; choose another one")
    return people


def tile(people: Sequence[Person], count: int) -> tuple[Image, FloatArray]:
    """One picture of `count` people, each as large as fits, repeated where there are too few.

    Returns
    -------
    (720, 1280, 3) uint8, BGR
    (count, 4) float32
        Their boxes.
    """
    width, height = SIZE
    # people are about twice as high as wide, so tiles are too
    rows = max(1, round(math.sqrt(count * height / (2 * width))))
    columns = math.ceil(count / rows)
    tile_width, tile_height = width // columns, height // rows
    picture = np.full((height, width, 3), _GREY, np.uint8)
    boxes = np.empty((count, 4), np.float32)
    for i in range(count):
        person, box = people[i % len(people)]
        scale = min(tile_width / person.shape[1], tile_height / person.shape[0])
        w, h = (max(1, int(side * scale)) for side in person.shape[1::-1])
        left = i % columns * tile_width + (tile_width - w) // 2
        top = i // columns * tile_height + (tile_height - h) // 2
        picture[top : top + h, left : left + w] = cv2.resize(person, (w, h))
        stretch = np.tile([w / person.shape[1], h / person.shape[0]], 2)
        boxes[i] = box * stretch + (left, top, left, top)
    return picture, boxes
