"""What colour people are at their joints, by which those who meet are told apart."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from rtpose.pose import FloatArray, Image, Pose

_REACH = 0.02
"""Half a side of the square around a joint whose colour is taken, in body sizes."""

_POINTS = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
"""Of a square that are looked at, in half its side."""


def colours_at_joints(image: Image, poses: Sequence[Pose]) -> FloatArray:
    """Mean colour around every joint.

    Parameters
    ----------
    image : Image
    poses : sequence of Pose
        With the same number of joints. What is nowhere has some colour or other.

    Returns
    -------
    (N, K, 3) float32
        CIE L*a*b*, L from 0 to 100. Joints outside the picture have the colour of its edge.
    """
    if not poses:
        return np.zeros((0, 0, 3), np.float32)
    joints = np.stack([pose.joints[:, :2] for pose in poses])
    boxes = np.stack([pose.box for pose in poses])
    sizes = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    points = joints[:, :, None] + _REACH * sizes[:, None, None, None] * _POINTS
    last = np.array(image.shape[1::-1]) - 1
    x, y = np.moveaxis(np.clip(np.rint(np.nan_to_num(points)), 0, last).astype(int), -1, 0)
    seen = image[y, x].astype(np.float32) / 255
    flat = cv2.cvtColor(seen.reshape(1, -1, 3), cv2.COLOR_BGR2Lab)
    return np.asarray(flat.reshape(seen.shape).mean(axis=2), np.float32)
