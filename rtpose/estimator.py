"""Images in, poses out: what a library user calls, and one step of every command."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from rtpose.checkpoint import RAW_SCORES, Calibration, load_checkpoint
from rtpose.decode import QUARTER, decode, flip_pixels, merge_flipped
from rtpose.detector import load_detector
from rtpose.engines.base import Engine
from rtpose.engines.select import select_device, select_engine
from rtpose.geometry import crop_squares, crop_to_frame, cut_crops, to_frame
from rtpose.pose import FloatArray, Image, Pose
from rtpose.shipped import find_weights
from rtpose.skeleton import Skeleton

log = logging.getLogger(__name__)

FindPeople = Callable[[Image], tuple[FloatArray, FloatArray]]
"""A detector: picture to boxes (N, 4) xyxy in pixels and scores (N,)."""

MAX_BATCH = 32
"""Crops that go through the network at once; more people than that are done in parts."""


@dataclass(frozen=True)
class Estimator:
    """A detector and a pose network that together answer: who is where, and how.

    Attributes
    ----------
    detector : callable
        Picture to boxes (N, 4) and scores (N,).
    engine : Engine
    skeleton : Skeleton
        Of the joints that the engine's network predicts.
    calibration : Calibration
        From the network's raw scores to the chance that a joint is right.
    flip_test : bool
        Also run every crop's mirror image and average: more exact, twice the work.
    """

    detector: FindPeople
    engine: Engine
    skeleton: Skeleton
    calibration: Calibration = RAW_SCORES
    flip_test: bool = False

    def __call__(self, image: Image) -> tuple[Pose, ...]:
        """Find the people in one picture, (H, W, 3) uint8 BGR, and their joints."""
        boxes, scores = self.detector(image)
        joints = self.place_joints(image, boxes)
        return tuple(
            Pose(box, float(score), points)
            for box, score, points in zip(boxes, scores, joints, strict=True)
        )

    def place_joints(self, image: Image, boxes: FloatArray) -> FloatArray:
        """Joints of the people in given boxes.

        Parameters
        ----------
        image : (H, W, 3) uint8, BGR
        boxes : (N, 4) float32
            x0, y0, x1, y1 in pixels.

        Returns
        -------
        (N, K, 3) float32
            x, y in pixels of the image, and the score.
        """
        squares = crop_squares(boxes)
        if not len(squares):
            return np.zeros((0, len(self.skeleton), 3), np.float32)
        return self.read(self.predict(self.cut(image, squares)), squares)

    def cut(self, image: Image, squares: FloatArray) -> Tensor:
        """First of the three steps of `place_joints`: (N, 3) squares to (N, 3, S, S) crops."""
        return torch.from_numpy(cut_crops(image, squares, self.engine.input_size))

    @torch.inference_mode()
    def predict(self, crops: Tensor) -> Tensor:
        """Second step: (N, 3, S, S) crops, N at least 1, to (N, K, S/4, S/4) heatmaps."""
        return torch.cat([self._heatmaps(part) for part in torch.split(crops, MAX_BATCH)])

    @torch.inference_mode()
    def read(self, heatmaps: Tensor, squares: FloatArray, shift: float = QUARTER) -> FloatArray:
        """Third step: (N, K, S/4, S/4) heatmaps to (N, K, 3) joints in pixels of the image."""
        found = decode(heatmaps, shift)
        found[..., 2] = self.calibration(found[..., 2])
        joints: FloatArray = found.cpu().numpy()
        joints[..., :2] = to_frame(joints[..., :2], crop_to_frame(squares, self.engine.input_size))
        return joints

    def _heatmaps(self, crops: Tensor) -> Tensor:
        if not self.flip_test:
            return self.engine(crops)
        plain, mirrored = self.engine(torch.cat([crops, flip_pixels(crops)])).chunk(2)
        return merge_flipped(plain, mirrored, self.skeleton.flip)


def load_estimator(
    model: str = "nano",
    *,
    device: str = "auto",
    engine: str = "auto",
    detector: str | None = None,
    confidence: float | None = None,
    flip_test: bool = False,
) -> Estimator:
    """Put together what it takes to find people and their joints in pictures.

    Parameters
    ----------
    model : str
        A shipped pose network's name, or a .safetensors file.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    engine : str
        ``auto`` or one of `rtpose.engines.select.ENGINES`.
    detector : str, optional
        A model file that ultralytics reads; None is the shipped person detector.
    confidence : float, optional
        Least score of a person, 0 to 1; None is the detector's own.
    flip_test : bool
        See `Estimator`.

    Raises
    ------
    RtposeError
        If a name is unknown, a file missing or damaged, or a device or engine not to be had.
    """
    device = select_device(device)
    checkpoint = load_checkpoint(find_weights(model))
    find_people = load_detector(detector, device)
    selection = select_engine(engine, checkpoint, device)
    log.info("engine %s: %s", selection.engine.name, selection.reason)
    return Estimator(
        partial(find_people, confidence=confidence),
        selection.engine,
        checkpoint.skeleton,
        checkpoint.calibration,
        flip_test,
    )
