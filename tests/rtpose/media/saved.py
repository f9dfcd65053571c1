"""What the tests of files of joints share."""

from __future__ import annotations

import numpy as np

from rtpose.pose import Frame, FrameResult, Pose


def result(index: int, people: int, joints: int = 16, unix_s: float | None = None) -> FrameResult:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), index, index / 30, "in.mp4", unix_s)
    poses = [
        Pose(
            box=np.array([1.234, 2, 30.5, 40], np.float32),
            score=0.98765,
            joints=np.arange(joints * 3, dtype=np.float32).reshape(joints, 3) / 7,
            id=None if n else 5,
        )
        for n in range(people)
    ]
    return FrameResult(frame, tuple(poses))
