"""Boxes, crops and the affine maps between a crop and its frame.

Boxes and squares are counted from the frame's edges, as detectors do: the top-left pixel covers
0 to 1. Points are counted from its middle, as labels of joints are: its middle is (0, 0). Pixel u
of a crop of S pixels, cut from a square that begins at x0 and is L wide, is therefore at
x = x0 + (u + 0.5) * L / S - 0.5. Half a pixel left out here is a bias on every joint.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rtpose.pose import FloatArray, Image

CROP_MARGIN = 1.17
"""Crop side over the longer side of the person's box. Chosen on val when 1.25, the usual one, was
1.6 behind; between 1.05 and 1.17 today's nano hardly cares, 1.25 costs up to one point, 1.35 two:
benchmarks/results/margin.md."""


def crop_squares(boxes: FloatArray, margin: float = CROP_MARGIN) -> FloatArray:
    """Square to cut out for each box.

    Parameters
    ----------
    boxes : (N, 4) float32
        x0, y0, x1, y1 in pixels.
    margin : float
        Side of the square over the longer side of the box.

    Returns
    -------
    (N, 3) float32
        x and y of the square's top-left corner, counted from the frame's corner, and its side.
        At least one pixel wide, also for an empty box.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    size = boxes[:, 2:] - boxes[:, :2]
    side = np.maximum(size.max(axis=1, initial=0) * margin, 1.0)
    corner = (boxes[:, :2] + boxes[:, 2:]) / 2 - side[:, None] / 2
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.float32)


def crop_to_frame(squares: FloatArray, size: int) -> NDArray[np.float32]:
    """Affine maps from pixel coordinates of a crop to those of the frame.

    Parameters
    ----------
    squares : (N, 3) float32
        As `crop_squares` gives them.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    (N, 2, 3) float32
        ``frame = map[:, :2] @ crop + map[:, 2]``.
    """
    squares = np.asarray(squares, np.float32).reshape(-1, 3)
    maps = np.zeros((len(squares), 2, 3), np.float32)
    scale = squares[:, 2] / size
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    maps[:, :, 2] = squares[:, :2] + (0.5 * scale - 0.5)[:, None]
    return maps


def halvings(sides: FloatArray, size: int) -> NDArray[np.intp]:
    """How often a square is halved, by the means of 2 x 2 pixels, before it is sampled.

    As often as leaves it no smaller than its crop, so that a person who fills a 4K frame is not
    sampled one pixel in nine. Halving again and again is several times faster in OpenCV than any
    other shrinking: 500 pixels to 250 take 0.06 ms, to a third 0.31 ms.

    Parameters
    ----------
    sides : (N,) float32
        Of the squares, in pixels of the frame.
    size : int
        Side of the crops in pixels.
    """
    return np.floor(np.log2(np.maximum(sides / size, 1))).astype(np.intp)


def cut_crops(image: Image, squares: FloatArray, size: int) -> NDArray[np.uint8]:
    """Cut squares out of a frame and bring them to one size; black outside the frame.

    Squares more than twice the crop's size are first halved, see `halvings`.

    Parameters
    ----------
    image : (H, W, 3) uint8, BGR
    squares : (N, 3) float32
        As `crop_squares` gives them.
    size : int
        Side of the crops in pixels.

    Returns
    -------
    (N, 3, size, size) uint8, RGB
    """
    squares = np.asarray(squares, np.float32).reshape(-1, 3)
    crops = np.empty((len(squares), 3, size, size), np.uint8)
    for crop, square in zip(crops, squares, strict=True):
        bgr = _cut_one(image, square, size)
        crop[:] = bgr[:, :, ::-1].transpose(2, 0, 1)
    return crops


def _cut_one(image: Image, square: FloatArray, size: int) -> Image:
    height, width = image.shape[:2]
    x0, y0, side = (float(v) for v in square)
    times = int(halvings(square[2:], size)[0])
    if times:
        # only the part of the frame under the square, from a whole pixel on: the affine map
        # below takes up the rest
        left, top = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
        right, bottom = int(np.ceil(x0 + side)), int(np.ceil(y0 + side))
        # whole blocks only, so that the shrunk picture's pixels are block means; the last ones may
        # reach out of the square, but not out of the frame
        block = 2**times
        columns = min(-((left - right) // block), (width - left) // block)
        rows = min(-((top - bottom) // block), (height - top) // block)
        if columns >= 1 and rows >= 1:
            image = image[top : top + rows * block, left : left + columns * block]
            for _ in range(times):
                half = (image.shape[1] // 2, image.shape[0] // 2)
                image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            x0, y0, side = (x0 - left) / block, (y0 - top) / block, side / block
    to_frame = crop_to_frame(np.array([[x0, y0, side]], np.float32), size)[0]
    out: Image = cv2.warpAffine(  # type: ignore[assignment]
        image,
        to_frame,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return out


def to_crops(points: FloatArray, squares: FloatArray, size: int) -> FloatArray:
    """Carry points of the frame into the crops: what `to_frame` brings back.

    Parameters
    ----------
    points : (N, K, 2) float32
        x, y in pixels of the frame.
    squares : (N, 3) float32
        As `crop_squares` gives them.
    size : int
        Side of the crops in pixels.

    Returns
    -------
    (N, K, 2) float32
    """
    zoom = size / squares[:, None, 2:]
    moved = (points + 0.5 - squares[:, None, :2]) * zoom - 0.5
    return moved.astype(np.float32)


def to_frame(points: FloatArray, squares: FloatArray, size: int) -> FloatArray:
    """Carry points of crops into the frame; see `to_crops`, which takes them there.

    Parameters
    ----------
    points : (N, K, 2) float32
        x, y in pixels of the N crops.
    squares, size
        Where they were cut, and to what size.

    Returns
    -------
    (N, K, 2) float32
    """
    zoom = squares[:, None, 2:] / size
    moved = (points + 0.5) * zoom + squares[:, None, :2] - 0.5
    return moved.astype(np.float32)


def box_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every pair: (N, 4) and (M, 4) xyxy to (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=-1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None] - common
    ratio = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return np.asarray(ratio, np.float32)
