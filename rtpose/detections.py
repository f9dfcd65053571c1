"""The two steps around a person network: pictures to its input, its raw predictions to boxes.

Both on the device where the network is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rtpose.letterbox import Letterbox, boxes_to_image, clip_boxes, letterbox_image
from rtpose.on_device import Picture, letterbox_frame, read_people, upload
from rtpose.pose import Detections, FloatArray
from rtpose.yolo import read_predictions, suppress_overlaps

OVERLAP = 0.6
"""Intersection over union above which two boxes are one person.

ultralytics' 0.7 leaves doubles on people in motion; its older 0.45 loses people who stand close.
"""

LIMIT = 100
"""Most people in one picture; COCO's own limit."""


def to_input(image: Picture, plan: Letterbox, device: str) -> Tensor:
    """A picture, wherever it is, as (1, *plan.size, 3) uint8 BGR on the device."""
    if device == "cpu":
        return torch.from_numpy(letterbox_image(np.asarray(image), plan))[None]
    # Resized where it is needed: the host has better things to do, and sends the frame but once.
    frame = image if isinstance(image, Tensor) else upload(image, device)
    return letterbox_frame(frame, plan)[None]


def read_detections(raw: Tensor, plan: Letterbox, confidence: float, overlap: float) -> Detections:
    """Detections from one picture's raw predictions; from a GPU only the few that count come."""
    if raw.device.type == "cpu":
        boxes, scores = read_predictions(raw, plan.size, confidence)
        kept = suppress_overlaps(boxes, scores, overlap)[:LIMIT]
        boxes, scores = boxes[kept], scores[kept]
    else:
        found: FloatArray = read_people(raw, plan.size, overlap, LIMIT).cpu().numpy()
        found = found[found[:, 4] >= confidence]
        boxes, scores = found[:, :4], found[:, 4]
    boxes = clip_boxes(boxes_to_image(boxes, plan), *plan.image)
    # A box that lies wholly in the padding has nothing left after clipping.
    some = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes[some], scores[some]
