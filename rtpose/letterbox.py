"""Fit a picture of any shape into the detector's input without distorting it, and map boxes back.

Box coordinates count from the picture's edges: the left edge is x = 0, the right edge x = width.
Resizing then is a plain multiplication, and a box that fills the picture fills it at every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from rtpose.pose import FloatArray, Image

PAD_VALUE = 114
"""Grey that YOLO networks were trained to see around a picture (ultralytics' ``LetterBox``)."""

COARSEST = 32
"""Stride of YOLO's coarsest grid, in pixels."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How one picture shape lies in the network's input; all pairs are (height, width).

    Attributes
    ----------
    image : (int, int)
        The picture.
    scaled : (int, int)
        The picture after resizing.
    offset : (int, int)
        Rows above and columns left of it.
    size : (int, int)
        The whole input, multiples of `COARSEST`.
    """

    image: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]


def plan_letterbox(height: int, width: int, size: int) -> Letterbox:
    """Scale the longer side to `size` and pad the shorter to the next multiple of `COARSEST`.

    A 640x480 picture at size 320 becomes 320x240 in an input of 320x256: a square input would
    cost a quarter more for nothing.

    Parameters
    ----------
    height, width : int
        Of the picture, at least 1.
    size : int
        Longer side of the input in pixels, a multiple of `COARSEST`.

    Raises
    ------
    ValueError
        If the picture is empty or `size` is no positive multiple of `COARSEST`.
    """
    if height < 1 or width < 1:
        raise ValueError(f"picture of {width}x{height} pixels has no content")
    if size < COARSEST or size % COARSEST:
        raise ValueError(f"input size {size} is not a multiple of {COARSEST}")
    scale = size / max(height, width)
    scaled = (max(1, round(height * scale)), max(1, round(width * scale)))
    whole = (-(-scaled[0] // COARSEST) * COARSEST, -(-scaled[1] // COARSEST) * COARSEST)
    offset = ((whole[0] - scaled[0]) // 2, (whole[1] - scaled[1]) // 2)
    return Letterbox((height, width), scaled, offset, whole)


def letterbox_image(image: Image, plan: Letterbox) -> Image:
    """Resize and pad a picture: (H, W, 3) uint8 to (*plan.size, 3) uint8."""
    out = np.full((*plan.size, 3), PAD_VALUE, np.uint8)
    top, left = plan.offset
    inner = out[top : top + plan.scaled[0], left : left + plan.scaled[1]]
    if plan.scaled == plan.image:
        inner[:] = image
    else:
        resized = cv2.resize(image, plan.scaled[::-1], interpolation=cv2.INTER_LINEAR)
        inner[:] = resized
    return out


def boxes_to_image(boxes: FloatArray, plan: Letterbox) -> FloatArray:
    """Map boxes (N, 4) xyxy from the network's input back to the picture."""
    scale, shift = _map(plan)
    return ((boxes - shift) / scale).astype(np.float32)


def clip_boxes(boxes: FloatArray, height: int, width: int) -> FloatArray:
    """Cut boxes (N, 4) xyxy off at the edges of a picture."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def _map(plan: Letterbox) -> tuple[FloatArray, FloatArray]:
    # Each axis has its own scale: rounding to whole pixels makes them differ a little.
    y, x = plan.scaled[0] / plan.image[0], plan.scaled[1] / plan.image[1]
    top, left = plan.offset
    return np.array([x, y, x, y], np.float32), np.array([left, top, left, top], np.float32)
