"""Pictures of another size than those before them, for what keeps one size throughout."""

from __future__ import annotations

import cv2
import numpy as np

from rtpose.pose import Image


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """The whole picture at another size (width, height), undistorted, black beside it."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    inner = max(round(width * scale), 1), max(round(height * scale), 1)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = cv2.resize(
        image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return canvas
