"""Images in, poses out: what a library user calls, and one step of every command."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from rtpose.checkpoint import RAW_SCORES, Calibration, load_checkpoint
from rtpose.decode import decode, flip_pixels, merge_flipped
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
        size = self.engine.input_size
        parts = [
            self._run(cut_crops(image, squares[i : i + MAX_BATCH], size))
            for i in range(0, len(squares), MAX_BATCH)
        ]
        if not parts:
            return np.zeros((0, len(self.skeleton), 3), np.float32)
        joints = np.concatenate(parts)
        joints[..., :2] = to_frame(joints[..., :2], crop_to_frame(squares, size))
        return joints

    @torch.inference_mode()
    def _run(self, crops: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> FloatArray:
        pixels = torch.from_numpy(crops)
        if self.flip_test:
            plain, mirrored = self.engine(torch.cat([pixels, flip_pixels(pixels)])).chunk(2)
            heatmaps = merge_flipped(plain, mirrored, self.skeleton.flip)
        else:
            heatmaps = self.engine(pixels)
        joints = decode(heatmaps)
        joints[..., 2] = self.calibration(joints[..., 2])
        placed: FloatArray = joints.cpu().numpy()
        return placed


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
