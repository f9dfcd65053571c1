"""YOLO11n-pose by ultralytics, converted to OpenVINO in the shape of the pictures.

Runs in rtpose's environment, which holds the very ultralytics that its users have.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from protocol import box_in_square, carry_back, closest, cut_square, frames, main

from rtpose.offline import import_openvino, import_ultralytics

MARGIN = 1.5
"""Side of the square over the longer side of the box; better than 1.1 and 1.25 on val."""
SIZE = 640


class Yolo:
    """Pictures of one shape in; joints (N, 17, 3) and boxes (N, 4) out."""

    def __init__(self, weights: str, folder: Path, shape: tuple[int, int], least: float) -> None:
        import_openvino()
        ultralytics = import_ultralytics()
        scale = SIZE / max(shape)
        self._size = [int(np.ceil(side * scale / 32) * 32) for side in shape]
        self._least = least
        name = f"{Path(weights).stem}-{self._size[0]}x{self._size[1]}_openvino_model"
        converted = folder / name
        if not converted.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            copy = folder / f"{name.removesuffix('_openvino_model')}.pt"
            copy.write_bytes(Path(weights).read_bytes())
            ultralytics.YOLO(str(copy)).export(format="openvino", imgsz=self._size)
        self._model = ultralytics.YOLO(str(converted), task="pose")

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Everybody in a picture."""
        result = self._model.predict(
            image, imgsz=self._size, conf=self._least, device="cpu", verbose=False, save=False
        )[0]
        return result.keypoints.data.numpy().reshape(-1, 17, 3), result.boxes.xyxy.numpy()


def place(job: dict[str, Any]):
    """Joints in a given box: of the people found in the square around it, that of the box."""
    # whoever is in the box is to be placed, however unsure
    yolo = Yolo(job["weights"], Path(job["cache"]), (SIZE, SIZE), 0.01)

    def one(image: np.ndarray, box: np.ndarray) -> np.ndarray:
        margin = job.get("margin", MARGIN)
        square, back = cut_square(image, box, margin, SIZE)
        joints, boxes = yolo(square)
        if not len(boxes):
            return np.full((17, 3), np.nan)
        best = joints[closest(boxes, box_in_square(box, margin, SIZE))]
        return np.column_stack([carry_back(best[:, :2], back), best[:, 2]])

    return one


def follow(job: dict[str, Any]):
    """Everybody in every frame."""
    capture = cv2.VideoCapture(job["clip"])
    shape = (
        int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
    )
    yolo = Yolo(job["weights"], Path(job["cache"]), shape, 0.25)

    def run(clip: Path) -> Iterator[int]:
        for image in frames(clip):
            yield len(yolo(image)[1])

    return run


if __name__ == "__main__":
    main(place, follow)
