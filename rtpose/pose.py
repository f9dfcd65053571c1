"""What travels through the pipeline: a frame, the people found in it, and the two together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Picture in OpenCV's layout: (height, width, 3), uint8, BGR."""

FloatArray = NDArray[np.float32]

Detections = tuple[FloatArray, FloatArray]
"""People found in a picture: boxes (N, 4) float32 xyxy in pixels, counted from its edges and inside
it, and scores (N,) float32 from 0 to 1, best first."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a stream.

    Attributes
    ----------
    image : (H, W, 3) uint8, BGR
    index : int
        Position in the stream, from 0.
    time_s : float
        Presentation time in seconds; 0 for the first frame of a file.
    source : str
        What it comes from, as people are told: a file's name, a camera, an address.
    unix_s : float or None
        When it was got from a camera or live stream, in seconds since 1970 by this machine's clock;
        None for what is read from a file.
    """

    image: Image
    index: int
    time_s: float
    source: str = ""
    unix_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One person.

    Attributes
    ----------
    box : (4,) float32
        x0, y0, x1, y1 in pixels of the frame, counted from its edge: a box around the top-left
        pixel is 0, 0, 1, 1.
    score : float
        The detector's confidence, 0 to 1.
    joints : (K, 3) float32
        x, y in pixels of the frame and a score from 0 to 1, in the order of the skeleton.
        Pixel centres have whole coordinates: the middle of the top-left pixel is (0, 0).
    id : int or None
        The same number for the same person in every frame; None before tracking, and in the first
        frame of somebody who comes later than others, or the first few near where one was lost.
    """

    box: FloatArray
    score: float
    joints: FloatArray
    id: int | None = None


def check_image(image: object) -> None:
    """Refuse what networks would take for another picture than was meant.

    Raises
    ------
    ValueError
        If it is not a (H, W, 3) uint8 array, or has no pixels.
    """
    if image is None:
        raise ValueError(
            "expected a (H, W, 3) uint8 image, got None: cv2.imread gives it for a file it cannot "
            "read"
        )
    if not isinstance(image, np.ndarray):
        raise ValueError(f"expected a (H, W, 3) uint8 image, got a {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"expected a (H, W, 3) uint8 image, got {image.shape} {image.dtype}")


def poses_of(found: Detections, joints: FloatArray) -> tuple[Pose, ...]:
    """People as they were found, with their joints (N, K, 3)."""
    return tuple(
        Pose(box, float(score), points) for box, score, points in zip(*found, joints, strict=True)
    )


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A frame and the people in it."""

    frame: Frame
    poses: tuple[Pose, ...]
