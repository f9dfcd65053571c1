"""MediaPipe's PoseLandmarker, with the model file that the job names."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from protocol import Follow, Place, box_in_square, carry_back, closest, cut_square, frames, main

MARGIN = 1.25
"""Side of the square over the longer side of the box; better than 1.1 and 1.5 on val."""
SIZE = 512
"""Side in pixels of the squares handed over; its networks scale them down further."""

CANDIDATES = 3
"""Most people looked for in a square."""

COCO17 = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
"""COCO's keypoints among the 33 landmarks."""


def _landmarker(weights: str, mode: vision.RunningMode, people: int, least: float) -> Any:
    return vision.PoseLandmarker.create_from_options(
        vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=weights),
            running_mode=mode,
            num_poses=people,
            min_pose_detection_confidence=least,
            min_pose_presence_confidence=least,
        )
    )


def _picture(image: np.ndarray) -> mediapipe.Image:
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)


def place(job: dict[str, Any]) -> Place:
    """Joints in a given box; its own detector looks for the person in the square around it."""
    # whoever is in the box is to be placed, however unsure, and not somebody beside
    landmarker = _landmarker(job["weights"], vision.RunningMode.IMAGE, CANDIDATES, 0.05)

    def one(image: np.ndarray, box: np.ndarray) -> np.ndarray:
        margin = job.get("margin", MARGIN)
        square, back = cut_square(image, box, margin, SIZE)
        found = landmarker.detect(_picture(square)).pose_landmarks
        if not found:
            return np.full((len(COCO17), 3), np.nan)
        people = np.array([[(m.x, m.y, m.visibility) for m in person] for person in found])
        people = people[:, COCO17] * (SIZE, SIZE, 1) - (0.5, 0.5, 0)
        boxes = np.concatenate([people[..., :2].min(1), people[..., :2].max(1)], axis=1)
        joints = people[closest(boxes, box_in_square(box, margin, SIZE))]
        return np.column_stack([carry_back(joints[:, :2], back), joints[:, 2]])

    return one


def follow(job: dict[str, Any]) -> Follow:
    """As many people as the clip has, with its own following."""
    # loaded once, before the clock runs, as the others' networks are
    landmarker = _landmarker(job["weights"], vision.RunningMode.VIDEO, job["people"], 0.5)
    times_ms = itertools.count(step=33)  # it wants them to rise, also from one run to the next

    def run(clip: Path) -> Iterator[int]:
        for image in frames(clip):
            yield len(landmarker.detect_for_video(_picture(image), next(times_ms)).pose_landmarks)

    return run


if __name__ == "__main__":
    main(place, follow)
