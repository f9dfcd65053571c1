"""The two steps around a person network: pictures to its input, its raw predictions to boxes.

Both on the device where the network is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rtpose.letterbox import Letterbox, boxes_to_image, clip_boxes, letterbox_image
from rtpose.on_device import Picture, letterbox_frames, read_people, upload
from rtpose.pose import FloatArray
from rtpose.yolo import read_predictions, suppress_overlaps

OVERLAP = 0.6
"""Intersection over union above which two boxes are one person.

ultralytics' 0.7 leaves doubles on people in motion; its older 0.45 loses people who stand close.
"""

LIMIT = 100
"""Most people in one picture; COCO's own limit."""

Detections = tuple[FloatArray, FloatArray]
"""Boxes (N, 4) float32 xyxy in pixels of the picture, counted from its edges and inside it, and
scores (N,) float32 from 0 to 1, best first."""


def to_input(images: Sequence[Picture], plan: Letterbox, device: str) -> Tensor:
    """Pictures of one shape, wherever they are, as (B, *plan.size, 3) uint8 BGR on the device."""
    if device == "cpu":
        host = [letterbox_image(np.asarray(image), plan) for image in images]
        return torch.from_numpy(np.stack(host))
    # Resized where it is needed: the host has better things to do, and sends the frame but once.
    frames = [image if isinstance(image, Tensor) else upload(image, device) for image in images]
    return letterbox_frames(torch.stack(frames), plan)


def read_detections(raw: Tensor, plan: Letterbox, confidence: float, overlap: float) -> Detections:
    """Detections from one picture's raw predictions; from a GPU only the few that count come."""
    if raw.device.type == "cpu":
        boxes, scores = read_predictions(raw, plan.size, confidence)
        kept = suppress_overlaps(boxes, scores, overlap)[:LIMIT]
        boxes, scores = boxes[kept], scores[kept]
    else:
        found: FloatArray = read_people(raw, plan.size, overlap, limit=LIMIT).cpu().numpy()
        found = found[found[:, 4] >= confidence]
        boxes, scores = found[:, :4], found[:, 4]
    boxes = clip_boxes(boxes_to_image(boxes, plan), *plan.image)
    # A box that lies wholly in the padding has nothing left after clipping.
    some = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[some], scores[some]
