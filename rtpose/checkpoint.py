"""Networks on disk: safetensors, with what is needed to rebuild and to trust them beside.

Nothing is unpickled: a weights file can do no more than hold numbers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import torch

from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass, eight_bit_convolutions
from rtpose.skeleton import SKELETONS, Skeleton
from rtpose.weights_file import check_tensors, read_weights, write_weights

_FORMAT = "rtpose-pose-1"
_KEYS = {"format", "architecture", "skeleton", "joints", "input_size", "calibration", "peaks"}


@dataclass(frozen=True)
class Calibration:
    """Turns a raw score into the chance that the joint is right: a line through its logit.

    Attributes
    ----------
    slope, offset : float
        ``chance = sigmoid(slope * logit(score) + offset)``; 1 and 0 change nothing.
    """

    EPS: ClassVar[float] = 1e-4
    """Scores are taken to lie this far from 0 and 1, where the logit has no end."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        """Chances for raw scores, any shape."""
        return torch.sigmoid(self.slope * torch.logit(scores, eps=self.EPS) + self.offset)


RAW_SCORES = Calibration()
"""Leaves scores as they are."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and what it was trained for.

    Attributes
    ----------
    network : DCHourglass
        In evaluation mode, float32, on the CPU.
    skeleton : Skeleton
        The meaning of its heatmaps, in order.
    input_size : int
        Side of the crops it was trained on, in pixels.
    calibration : Calibration
        From its raw scores to chances.
    about : dict of str to str
        Data, scores, date: for people, nothing depends on it.
    peaks : dict of str to float
        What the inputs of its `eight_bit_convolutions` seldom exceed; empty if nobody measured
        it. They are rectified, so that 0 is what they never fall below.
    """

    network: DCHourglass
    skeleton: Skeleton
    input_size: int
    calibration: Calibration = RAW_SCORES
    about: dict[str, str] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a network; see `rtpose.weights_file.write_weights`."""
    metadata = {
        "format": _FORMAT,
        "architecture": json.dumps(asdict(checkpoint.network.architecture)),
        "skeleton": checkpoint.skeleton.name,
        "joints": json.dumps(checkpoint.skeleton.joints),
        "input_size": str(checkpoint.input_size),
        "calibration": json.dumps(asdict(checkpoint.calibration)),
        "peaks": json.dumps({k: float(f"{v:.4g}") for k, v in checkpoint.peaks.items()}),
        **checkpoint.about,
    }
    write_weights(path, checkpoint.network.state_dict(), metadata)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a network written by `save_checkpoint`.

    Raises
    ------
    RtposeError
        If the file is missing, damaged, of another kind, or a tensor's name or shape is not what
        its architecture asks for, or a value is not finite.
    """
    tensors, metadata = read_weights(path)
    if metadata.get("format") != _FORMAT:
        raise RtposeError(f"{path}: not a pose network of rtpose (its metadata do not say so)")
    try:
        architecture = Architecture(**json.loads(metadata["architecture"]))
        skeleton = SKELETONS[metadata["skeleton"]]
        input_size = int(metadata["input_size"])
        joints = tuple(json.loads(metadata["joints"]))
        calibration = Calibration(**json.loads(metadata["calibration"]))
        peaks = {str(k): float(v) for k, v in json.loads(metadata.get("peaks", "{}")).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RtposeError(f"{path}: metadata are damaged or of a newer rtpose: {error}") from error
    if joints != skeleton.joints or len(joints) != architecture.joints:
        raise RtposeError(f"{path}: its joints are not those of the skeleton {skeleton.name}")
    if input_size < 1 or input_size % (4 * 2**architecture.depth):
        raise RtposeError(f"{path}: input size {input_size} does not fit its architecture")
    network = DCHourglass(architecture)
    check_tensors(path, tensors, network.state_dict())
    network.load_state_dict(tensors)
    known = set(eight_bit_convolutions(network))
    if peaks and (peaks.keys() != known or min(peaks.values()) < 0):
        raise RtposeError(f"{path}: the peaks in its metadata are not those of its architecture")
    about = {k: v for k, v in metadata.items() if k not in _KEYS}
    return Checkpoint(network.eval(), skeleton, input_size, calibration, about, peaks)
