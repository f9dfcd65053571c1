"""Images in, poses out: what a library user calls, and one step of every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtpose.checkpoint import RAW_SCORES, Calibration, load_checkpoint
from rtpose.claims import settle_poses
from rtpose.decode import Refine, decode, parabola
from rtpose.detector import load_detector
from rtpose.engines.base import Engine
from rtpose.engines.select import select_engine
from rtpose.geometry import crop_squares, cut_crops, to_frame
from rtpose.gpu import select_device
from rtpose.on_device import Picture, cut_squares, own_stream, upload
from rtpose.pose import Detections, FloatArray, Image, Pose, check_image, poses_of
from rtpose.shipped import find_weights
from rtpose.skeleton import Skeleton

FindPeople = Callable[[Picture], Detections]
"""A detector: picture to boxes (N, 4) xyxy in pixels and scores (N,)."""


@dataclass(frozen=True)
class Estimator:
    """A detector and a pose network that together answer: who is where, and how.

    Not to be called from two threads at once: load one for each, and one in each process, which
    must not be forked from one that has loaded any.

    Attributes
    ----------
    detector : callable
        Picture to boxes (N, 4) and scores (N,).
    engine : Engine
    skeleton : Skeleton
        Of the joints that the engine's network predicts.
    calibration : Calibration
        From the network's raw scores to the chance that a joint is right.
    reason : str
        Why it is this engine: one line for people.
    """

    detector: FindPeople
    engine: Engine
    skeleton: Skeleton
    calibration: Calibration = RAW_SCORES
    reason: str = ""

    def __call__(self, image: Image) -> tuple[Pose, ...]:
        """Find the people in one picture, and their joints.

        Parameters
        ----------
        image : (H, W, 3) uint8, BGR

        Raises
        ------
        ValueError
            If it is something else.
        """
        check_image(image)
        picture = self.upload(image)
        found = self.detector(picture)
        return settle_poses(poses_of(found, self.place_joints(picture, found[0])))

    def upload(self, image: Image) -> Picture:
        """The picture where detector and engine compute: in the GPU's memory, or as it is.

        Both take it either way; a picture that goes to both is sent but once like this.
        """
        return image if self.engine.device == "cpu" else upload(image, self.engine.device)

    def place_joints(self, image: Picture, boxes: FloatArray) -> FloatArray:
        """Joints of the people in given boxes.

        Parameters
        ----------
        image : (H, W, 3) uint8, BGR
        boxes : (N, 4) float32
            x0, y0, x1, y1 in pixels.

        Returns
        -------
        (N, K, 3) float32
            x, y in pixels of the image, and the score, of each person as if alone.
        """
        squares = crop_squares(boxes)
        if not len(squares):
            return np.zeros((0, len(self.skeleton), 3), np.float32)
        with own_stream(self.engine.device):
            return self.read(self.predict(self.cut(image, squares)), squares)

    def cut(self, image: Picture, squares: FloatArray) -> Tensor:
        """First of the three steps of `place_joints`: (N, 3) squares to (N, 3, S, S) crops."""
        size = self.engine.input_size
        if self.engine.device == "cpu":
            # OpenCV does it a hundred times faster on a CPU than torch: 0.5 ms a crop of 256 px
            return torch.from_numpy(cut_crops(np.asarray(image), squares, size))
        frame = image if isinstance(image, Tensor) else upload(image, self.engine.device)
        return cut_squares(frame, squares, size)

    def predict(self, crops: Tensor) -> Tensor:
        """Second step: (N, 3, S, S) crops to (N, K, S/4, S/4) heatmaps."""
        return self.engine(crops)

    @torch.inference_mode()
    def read(self, heatmaps: Tensor, squares: FloatArray, refine: Refine = parabola) -> FloatArray:
        """Third step: (N, K, S/4, S/4) heatmaps to (N, K, 3) joints in pixels of the image."""
        found = decode(heatmaps, refine)
        found[..., 2] = self.calibration(found[..., 2])
        joints: FloatArray = found.cpu().numpy()
        joints[..., :2] = to_frame(joints[..., :2], squares, self.engine.input_size)
        return joints


def load_estimator(
    model: str = "nano",
    *,
    device: str = "auto",
    engine: str = "auto",
    detector: str | None = None,
    detect_size: int | None = None,
    confidence: float | None = None,
    flip_test: bool = False,
    stage_threads: int | None = None,
) -> Estimator:
    """Put together what it takes to find people and their joints in pictures.

    Parameters
    ----------
    model : str
        A shipped pose network's name, or a .safetensors file.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    engine : str
        ``auto`` or one of `rtpose.engines.available.ENGINES`.
    detector : str, optional
        A file of ours or one that ultralytics reads; None is the shipped person detector.
    detect_size : int, optional
        Longer side, in pixels, at which people are looked for; see `load_detector`.
    confidence : float, optional
        Least score of a person, 0 to 1; None is the detector's own.
    flip_test : bool
        Also run every crop's mirror image and average: more exact, twice the work.
    stage_threads : int, optional
        CPU threads of OpenVINO for the detector, and for the pose network where a picture has one
        person or two. None, all cores, is quickest for one picture after the other; for frames
        that are detected while others are posed `rtpose.stream.STAGE_THREADS` is.

    Raises
    ------
    RtposeError
        If a name is unknown, a number out of its range, a file missing or damaged, or a device or
        engine not to be had.
    """
    device = select_device(device)
    checkpoint = load_checkpoint(find_weights(model))
    find_people = load_detector(
        detector, device, detect_size, confidence=confidence, threads=stage_threads
    )
    selection = select_engine(engine, checkpoint, device, flip_test, stage_threads)
    return Estimator(
        find_people,
        selection.engine,
        checkpoint.skeleton,
        checkpoint.calibration,
        selection.reason,
    )
