"""MoveNet Lightning by LiteRT: one person, who is followed by a square around the last joints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from protocol import Follow, Place, carry_back, cut_square, frames, main

MARGIN = 1.1
"""Side of the square over the longer side of the box; 1.1 is better than 1.25 and 1.4 on val."""
LEAST_SCORE = 0.2
"""Of MoveNet's own following: joints below it say nothing."""

SHOULDERS_HIPS = [5, 6, 11, 12]


class MoveNet:
    """Square picture in, 17 joints in its pixels out."""

    def __init__(self, weights: str) -> None:
        self._run = Interpreter(weights, num_threads=os.cpu_count())
        self._run.allocate_tensors()
        self._input = self._run.get_input_details()[0]
        self._output = self._run.get_output_details()[0]["index"]
        self.size = int(self._input["shape"][1])

    def __call__(self, square: np.ndarray) -> np.ndarray:
        """Joints (17, 3) in pixels of the square."""
        rgb = cv2.cvtColor(square, cv2.COLOR_BGR2RGB)
        self._run.set_tensor(self._input["index"], rgb[None].astype(self._input["dtype"]))
        self._run.invoke()
        y, x, score = self._run.get_tensor(self._output)[0, 0].T
        return np.stack([x * self.size - 0.5, y * self.size - 0.5, score], axis=1)


def place(job: dict[str, Any]) -> Place:
    """Joints in a given box."""
    net = MoveNet(job["weights"])

    def one(image: np.ndarray, box: np.ndarray) -> np.ndarray:
        square, back = cut_square(image, box, job.get("margin", MARGIN), net.size)
        joints = net(square)
        return np.column_stack([carry_back(joints[:, :2], back), joints[:, 2]])

    return one


def follow(job: dict[str, Any]) -> Follow:
    """One person through a clip, as TensorFlow's own demonstration does it."""
    net = MoveNet(job["weights"])

    def run(clip: Path) -> Iterator[int]:
        box = None
        for image in frames(clip):
            height, width = image.shape[:2]
            whole = np.array([0.0, 0.0, width, height])
            square, back = cut_square(image, whole if box is None else box, 1.0, net.size)
            joints = net(square)
            points = carry_back(joints[:, :2], back)
            box = next_box(points, joints[:, 2])
            yield int(box is not None)

    return run


def next_box(points: np.ndarray, scores: np.ndarray) -> np.ndarray | None:
    """Where to look next: 1.9 torsos or 1.2 bodies around the hips; None is everywhere."""
    sure = scores > LEAST_SCORE
    if not (sure[[5, 6]].any() and sure[[11, 12]].any()):
        return None
    middle = points[[11, 12]].mean(0)
    torso = np.abs(points[SHOULDERS_HIPS] - middle).max()
    body = np.abs(points[sure] - middle).max()
    half = max(1.9 * torso, 1.2 * body)
    return np.array([*(middle - half), *(middle + half)])


if __name__ == "__main__":
    main(place, follow)
