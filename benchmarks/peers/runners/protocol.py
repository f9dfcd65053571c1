"""What every runner shares: the words it is called with, and squares cut out of pictures.

    python run_X.py place JOB.json OUT.npz     joints of people in given boxes
    python run_X.py follow JOB.json OUT.json   frames a second through a clip

Runs in environments that hold little more than the peer: nothing but numpy and OpenCV here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

JOINTS = 17
"""COCO's keypoints, in COCO's order: what runners answer with."""

_WARM_UP_FRAMES = 10

Place = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Picture (BGR) and box (4,) xyxy to joints (17, 3) in pixels; NaN where nobody was found."""

Follow = Callable[[Path], Iterator[int]]
"""Clip to the number of people found in each frame, as it is found."""


def main(make_place: Callable[[dict[str, Any]], Place], follow: Callable[..., Follow]) -> None:
    """Do what the command line says; both are made from the job's settings."""
    word, job_path, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    job = json.loads(job_path.read_text())
    if word == "place":
        place = make_place(job)
        joints = np.full((len(job["people"]), JOINTS, 3), np.nan)
        name, image = "", np.zeros((0, 0, 3), np.uint8)
        for row, person in zip(joints, job["people"], strict=True):
            if person["picture"] != name:
                name = person["picture"]
                image = np.asarray(cv2.imread(name))
            row[:] = place(image, np.array(person["box"], float))
        np.savez(out, joints=joints)
    elif word == "follow":
        run = follow(job)
        clip = Path(job["clip"])
        for _ in islice(run(clip), _WARM_UP_FRAMES):
            pass
        began = time.perf_counter()
        found = list(run(clip))
        seconds = time.perf_counter() - began
        out.write_text(json.dumps({"fps": len(found) / seconds, "people": float(np.mean(found))}))
    else:
        raise SystemExit(f"unknown word {word}")


def frames(clip: Path) -> Iterator[np.ndarray]:
    """A clip's pictures, BGR, as OpenCV reads them."""
    capture = cv2.VideoCapture(str(clip))
    while True:
        read, image = capture.read()
        if not read:
            return
        yield image


def cut_square(
    image: np.ndarray, box: np.ndarray, margin: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The square around a box, and the affine map (2, 3) from its pixels back to the picture."""
    side = max(*(box[2:] - box[:2]), 1.0) * margin
    corner = (box[:2] + box[2:]) / 2 - side / 2
    scale = side / size
    # pixel centres: the box is counted from the picture's edge
    back = np.array([[scale, 0, corner[0] + scale / 2 - 0.5],
                     [0, scale, corner[1] + scale / 2 - 0.5]])  # fmt: skip
    if scale > 2:  # a warp reads single pixels: blur away what lies between them
        image = cv2.GaussianBlur(image, (0, 0), scale / 2.5)
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(image, back, (size, size), flags=flags)), back


def carry_back(points: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Points (K, 2) of a square to the picture."""
    return points @ back[:, :2].T + back[:, 2]


def box_in_square(box: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Where a box lies in the square that `cut_square` cuts around it."""
    part = (box[2:] - box[:2]) / max(*(box[2:] - box[:2]), 1.0) / margin
    return size * np.concatenate([1 - part, 1 + part]) / 2


def closest(boxes: np.ndarray, wanted: np.ndarray) -> int:
    """Which of boxes (N, 4), N at least 1, overlaps the wanted one (4,) most."""
    low, high = np.maximum(boxes[:, :2], wanted[:2]), np.minimum(boxes[:, 2:], wanted[2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(wanted[2:] - wanted[:2])
    return int(np.argmax(shared / (areas - shared)))
