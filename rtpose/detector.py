"""Find people: pictures in, boxes and scores out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rtpose.detections import LIMIT, OVERLAP, read_detections, to_input
from rtpose.errors import RtposeError, first_line
from rtpose.gpu import select_device
from rtpose.letterbox import plan_letterbox
from rtpose.offline import import_ultralytics
from rtpose.on_device import Picture, own_stream
from rtpose.openvino_model import why_no_openvino
from rtpose.person_network import on_openvino, on_torch
from rtpose.pose import Detections
from rtpose.quantised import Range
from rtpose.shipped import shipped_detector
from rtpose.yolo import PersonNetwork, load_model

log = logging.getLogger(__name__)

LARGEST = 4096
"""Most pixels that the longer side of a picture may be scaled to: as wide as 4K, which takes some
ten gigabytes on a CPU."""


class Detector(Protocol):
    """Whatever finds people.

    Attributes
    ----------
    name, device, precision : str
        For people to read: what runs, where, and in which number format.
    size : int
        Longer side, in pixels, that pictures are scaled to.
    """

    name: str
    device: str
    precision: str
    size: int

    def __call__(
        self, image: Picture, *, confidence: float | None = None, overlap: float = OVERLAP
    ) -> Detections:
        """Find the people in one picture.

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR
            On the host or on the detector's device.
        confidence : float, optional
            Least score; None is the detector's own.
        overlap : float
            Intersection over union above which two boxes are one person.
        """
        ...


def load_detector(
    which: str | Path | None = None,
    device: str = "cpu",
    size: int | None = None,
    *,
    confidence: float | None = None,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Detector:
    """Load a person detector.

    Parameters
    ----------
    which : str, Path or None
        None is the shipped one. A ``.safetensors`` file is one of ours. Anything else is a model
        file that ultralytics reads and that has a class "person"; ``.pt`` files are pickles, so
        only name one you trust. Nothing is ever downloaded.
    device : str
        See `rtpose.gpu.select_device`.
    size : int, optional
        Longer side, in pixels, that pictures are scaled to; a multiple of 32. None is what the
        detector was made for (640 for ultralytics' own).
    confidence : float, optional
        Least score of a person, 0 to 1; None is what the detector was made for.
    engine : {"openvino", "torch"}, optional
        None is OpenVINO on the CPU, or torch where OpenVINO does not run, which is said, and
        torch elsewhere. Only for our detectors.
    precision : {"fp32", "fp16", "bf16", "int8", "int8+bf16"}, optional
        None is the fastest that the device computes in: fp16 on CUDA, on CPUs see
        `rtpose.cpu_precision`, as long as the people found are those of fp32. One that is named is
        not questioned. Only for our detectors.
    threads : int, optional
        CPU threads of OpenVINO; None is one for every core. Models that ultralytics runs take
        as many as ultralytics sets for the whole process: one less than there are cores, at
        most eight.

    Raises
    ------
    RtposeError
        If the file, the device, the size, the confidence or a name above is unknown, missing or
        does not fit.
    """
    device = select_device(device)
    if size is not None:
        check_size(size)
    if confidence is not None and not 0 <= confidence <= 1:
        raise RtposeError(f"confidence {confidence}: must be from 0 to 1")
    path = shipped_detector() if which is None else _find(which)
    if path.suffix != ".safetensors":
        if engine is not None or precision is not None:
            raise RtposeError(f"{path}: engine and precision can be chosen for our detectors only")
        return UltralyticsDetector(path, device, size or 640, confidence)
    model, info = load_model(path)
    return PersonDetector(
        model,
        device,
        size or info.size,
        confidence=info.confidence if confidence is None else confidence,
        ranges=info.ranges,
        engine=engine,
        precision=precision,
        threads=threads,
    )


class PersonDetector(Detector):
    """Our one-class YOLO: letterbox, network, non-maximum suppression.

    Not to be called from two threads at once.

    Parameters
    ----------
    model : nn.Module
        From `rtpose.yolo.load_model`; the detector takes it over.
    device, size, engine, precision, threads
        See `load_detector`.
    confidence : float
        Least score where a call names none.
    ranges : dict of str to (float, float)
        See `rtpose.yolo.DetectorInfo`; without them eight bits are left out.
    """

    def __init__(
        self,
        model: nn.Module,
        device: str,
        size: int,
        *,
        confidence: float = 0.35,
        ranges: Mapping[str, Range] = MappingProxyType({}),
        engine: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        engine = engine or _default_engine(device)
        model.requires_grad_(False)
        if engine == "openvino":
            if device != "cpu":
                raise RtposeError(f"the openvino detector runs on cpu, not on {device}")
            if (fault := why_no_openvino()) is not None:
                raise RtposeError(f"the openvino detector: {fault}")
            self._predict, self.precision = on_openvino(model, ranges, precision, threads)
        elif engine == "torch":
            self._predict, self.precision = on_torch(PersonNetwork(model).eval(), device, precision)
        else:
            raise RtposeError(f"unknown detector engine {engine}: choose openvino or torch")
        self.name = f"person-yolo11n ({engine})"
        self.device = device
        self.size = size
        self.confidence = confidence

    def __call__(
        self, image: Picture, *, confidence: float | None = None, overlap: float = OVERLAP
    ) -> Detections:
        """See `Detector`."""
        confidence = self.confidence if confidence is None else confidence
        height, width = image.shape[:2]
        plan = plan_letterbox(height, width, self.size)
        with torch.inference_mode(), own_stream(self.device):
            (raw,) = self._predict(to_input(image, plan, self.device))
            return read_detections(raw, plan, confidence, overlap)


class UltralyticsDetector(Detector):
    """Any model that ultralytics reads and that knows persons, run by ultralytics itself.

    Parameters
    ----------
    path : Path
        An existing model file.
    device, size, confidence
        See `load_detector`.
    """

    precision = "fp32"

    def __init__(self, path: Path, device: str, size: int, confidence: float | None = None) -> None:
        self._model, self._classes = open_yolo(path)
        self.name = path.name
        self.device = device
        self.size = size
        self.confidence = 0.25 if confidence is None else confidence  # ultralytics' own

    def __call__(
        self, image: Picture, *, confidence: float | None = None, overlap: float = OVERLAP
    ) -> Detections:
        """See `Detector`."""
        found = self._model.predict(
            image.cpu().numpy() if isinstance(image, Tensor) else image,
            imgsz=self.size,
            conf=self.confidence if confidence is None else confidence,
            iou=overlap,
            classes=self._classes,
            max_det=LIMIT,
            # not its name: of cuda:1 older ultralytics makes CUDA_VISIBLE_DEVICES=1 and cuda:0,
            # which is another GPU where CUDA has been asked before
            device=torch.device(self.device),
            verbose=False,
            save=False,
        )[0].boxes
        boxes = found.xyxy.cpu().numpy().astype(np.float32).reshape(-1, 4)
        return boxes, found.conf.cpu().numpy().astype(np.float32)


def check_size(size: int) -> None:
    """Refuse sides that a YOLO's five halvings do not divide, or that no memory is enough for.

    Raises
    ------
    RtposeError
    """
    if size < 32 or size % 32:
        raise RtposeError(f"detector size {size}: must be a multiple of 32, e.g. 320 or 416")
    if size > LARGEST:
        raise RtposeError(f"detector size {size}: at most {LARGEST}")


def open_yolo(path: Path) -> tuple[Any, list[int]]:
    """What ultralytics reads from a file, and its classes that are persons.

    Raises
    ------
    RtposeError
        If it cannot, or there are none.
    """
    ultralytics = import_ultralytics()
    try:
        yolo: Any = ultralytics.YOLO(str(path))
        names: dict[int, str] = yolo.names
    except Exception as error:  # a broken file fails in many ways
        raise RtposeError(f"{path}: ultralytics cannot read it: {first_line(error)}") from error
    persons = [row for row, name in names.items() if name == "person"]
    if not persons:
        raise RtposeError(f"{path}: this detector has no class named person")
    return yolo, persons


def _default_engine(device: str) -> str:
    if device != "cpu":
        return "torch"
    if (fault := why_no_openvino()) is not None:
        _say_slower(fault)
        return "torch"
    return "openvino"


@functools.cache
def _say_slower(fault: str) -> None:
    """Once for each fault: a process may load several detectors."""
    log.warning("%s. Finding people with PyTorch, which is slower", fault)


def _find(which: str | Path) -> Path:
    path = Path(which)
    if path.exists():
        return path
    raise RtposeError(
        f"detector {which}: no such file. Models are never downloaded: name one you have"
    )
