"""Find people: pictures in, boxes and scores out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rtpose import same_people
from rtpose.cache import network_hash
from rtpose.cpu_precision import (
    ask_once,
    check_precision,
    possible_precisions,
    time_precisions,
    worthwhile,
)
from rtpose.cuda_graph import CudaGraph
from rtpose.errors import RtposeError, first_line
from rtpose.letterbox import (
    Letterbox,
    boxes_to_image,
    clip_boxes,
    letterbox_image,
    plan_letterbox,
)
from rtpose.offline import import_ultralytics
from rtpose.on_device import Picture, letterbox_frames, own_stream, read_people, upload
from rtpose.openvino_model import compile_for_cpu, convert, why_no_openvino
from rtpose.photographs import photographed_people
from rtpose.pose import FloatArray
from rtpose.quantised import Range, quantise
from rtpose.same_people import Agreement, compare_people
from rtpose.shipped import shipped_detector
from rtpose.yolo import PersonNetwork, load_model, read_predictions, suppress_overlaps

log = logging.getLogger(__name__)

OVERLAP = 0.6
"""Intersection over union above which two boxes are one person.

ultralytics' 0.7 leaves doubles on people in motion; its older 0.45 loses people who stand close.
"""

_MOST_GRAPHS = 4
"""Shapes of pictures whose detection is recorded on a GPU."""

_CHECKED_AT = 416
"""Longer side at which precisions are compared: the shipped detector's own. How numbers are rounded
does not depend on it."""

_VERDICT = "agreement.json"

LIMIT = 100
"""Most people in one picture; COCO's own limit."""

Detections = tuple[FloatArray, FloatArray]
"""Boxes (N, 4) float32 xyxy in pixels of the picture, counted from its edges and inside it, and
scores (N,) float32 from 0 to 1, best first."""

Predict = Callable[[Tensor], Tensor]
"""Pictures (B, H, W, 3) uint8 BGR to raw predictions (B, 65, A); see `PersonNetwork`."""


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
        self, image: Picture, *, confidence: float | None = None, overlap: float | None = None
    ) -> Detections:
        """Find the people in one picture; see `detect`."""
        return self.detect([image], confidence=confidence, overlap=overlap)[0]

    def detect(
        self,
        images: Sequence[Picture],
        *,
        confidence: float | None = None,
        overlap: float | None = None,
    ) -> list[Detections]:
        """Find the people in each of several pictures.

        Parameters
        ----------
        images : sequence of (H, W, 3) uint8 BGR
            On the host or on the detector's device.
        confidence : float, optional
            Least score; None is the detector's own.
        overlap : float, optional
            Intersection over union above which two boxes are one person; None is `OVERLAP`.
        """
        ...


def load_detector(
    which: str | Path | None = None,
    device: str = "cpu",
    size: int | None = None,
    *,
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
        "cpu", or what torch calls the accelerator ("cuda", "cuda:1", "mps").
    size : int, optional
        Longer side, in pixels, that pictures are scaled to; a multiple of 32. None is what the
        detector was made for (640 for ultralytics' own).
    engine : {"openvino", "torch"}, optional
        None is OpenVINO on the CPU, or torch where OpenVINO does not run, which is said, and
        torch elsewhere. Only for our detectors.
    precision : {"fp32", "bf16", "fp16", "int8"}, optional
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
        If the file, the device, the size or a name above is unknown, missing or does not fit.
    """
    _check_device(device)
    if size is not None and (size < 32 or size % 32):
        raise RtposeError(f"detector size {size}: must be a multiple of 32, e.g. 320 or 416")
    path = shipped_detector() if which is None else _find(which)
    if path.suffix != ".safetensors":
        if engine is not None or precision is not None:
            raise RtposeError(f"{path}: engine and precision can be chosen for our detectors only")
        return UltralyticsDetector(path, device, size or 640)
    model, info = load_model(path)
    return PersonDetector(
        model,
        device,
        size or info.size,
        confidence=info.confidence,
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
            self._predict, self.precision = _openvino(model, ranges, precision, threads)
        elif engine == "torch":
            self._predict, self.precision = _torch(PersonNetwork(model).eval(), device, precision)
        else:
            raise RtposeError(f"unknown detector engine {engine}: choose openvino or torch")
        self.name = f"person-yolo11n ({engine})"
        self.device = device
        self.size = size
        self.confidence = confidence

    def detect(
        self,
        images: Sequence[Picture],
        *,
        confidence: float | None = None,
        overlap: float | None = None,
    ) -> list[Detections]:
        """Find the people in several pictures, in one go where they have the same shape."""
        confidence = self.confidence if confidence is None else confidence
        overlap = OVERLAP if overlap is None else overlap
        if len({image.shape for image in images}) > 1:
            return [self(image, confidence=confidence, overlap=overlap) for image in images]
        if not images:
            return []
        height, width = images[0].shape[:2]
        plan = plan_letterbox(height, width, self.size)
        with torch.inference_mode(), own_stream(self.device):
            raw = self._predict(_to_input(images, plan, self.device))
            return [_read(one, plan, confidence, overlap) for one in raw]


class UltralyticsDetector(Detector):
    """Any model that ultralytics reads and that knows persons, run by ultralytics itself.

    Parameters
    ----------
    path : Path
        An existing model file.
    device, size
        See `load_detector`.
    confidence : float
        Least score where a call names none; 0.25 is ultralytics' own.
    """

    precision = "fp32"

    def __init__(self, path: Path, device: str, size: int, *, confidence: float = 0.25) -> None:
        ultralytics = import_ultralytics()
        try:
            self._model: Any = ultralytics.YOLO(str(path))
            names: dict[int, str] = self._model.names
        except Exception as error:  # a broken file fails in many ways
            raise RtposeError(f"{path}: ultralytics cannot read it: {first_line(error)}") from error
        self._classes = [row for row, name in names.items() if name == "person"]
        if not self._classes:
            raise RtposeError(f"{path}: this detector has no class named person")
        self.name = path.name
        self.device = device
        self.size = size
        self.confidence = confidence

    def detect(
        self,
        images: Sequence[Picture],
        *,
        confidence: float | None = None,
        overlap: float | None = None,
    ) -> list[Detections]:
        """Find the people in several pictures, one after the other."""
        found = []
        for image in images:
            result = self._model.predict(
                image.cpu().numpy() if isinstance(image, Tensor) else image,
                imgsz=self.size,
                conf=self.confidence if confidence is None else confidence,
                iou=OVERLAP if overlap is None else overlap,
                classes=self._classes,
                max_det=LIMIT,
                device=self.device,
                verbose=False,
                save=False,
            )[0].boxes
            boxes = result.xyxy.cpu().numpy().astype(np.float32).reshape(-1, 4)
            found.append((boxes, result.conf.cpu().numpy().astype(np.float32)))
        return found


def _read(raw: Tensor, plan: Letterbox, confidence: float, overlap: float) -> Detections:
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


def _to_input(images: Sequence[Picture], plan: Letterbox, device: str) -> Tensor:
    if device == "cpu":
        host = [letterbox_image(np.asarray(image), plan) for image in images]
        return torch.from_numpy(np.stack(host))
    # Resized where it is needed: the host has better things to do, and sends the frame but once.
    frames = [image if isinstance(image, Tensor) else upload(image, device) for image in images]
    return letterbox_frames(torch.stack(frames), plan)


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


def _torch(network: nn.Module, device: str, precision: str | None) -> tuple[Predict, str]:
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    precision = precision or ("fp16" if device.startswith("cuda") else "fp32")
    if precision not in types:
        raise RtposeError(f"unknown precision {precision}: choose one of {', '.join(types)}")
    # as its input lies in memory: else every convolution would turn its weights round first
    placed: Predict = network.to(device, types[precision], memory_format=torch.channels_last)  # type: ignore[call-overload]
    return (_recorded(placed, device) if device.startswith("cuda") else placed), precision


def _recorded(network: Predict, device: str) -> Predict:
    """The network with its two hundred launches made one: else the host would hold up the GPU.

    A video has pictures of one shape; of the many that a folder of photographs has, all but the
    first few run as they are. So do all where recording fails.
    """
    graphs: dict[tuple[int, ...], CudaGraph] = {}
    most = _MOST_GRAPHS
    pool = torch.cuda.graph_pool_handle()

    def predict(pictures: Tensor) -> Tensor:
        nonlocal most
        shape = tuple(pictures.shape)
        if shape not in graphs:
            if len(graphs) >= most:
                return network(pictures)
            try:
                with torch.cuda.device(device):
                    graphs[shape] = CudaGraph(network, pictures, pool)
            except RuntimeError as error:
                # also for lack of memory: without a recording less is needed, and where that is
                # still too much the network itself says so
                log.warning(
                    "detector: its work cannot be recorded as a CUDA graph (%s). Going on without, "
                    "which is slower",
                    first_line(error),
                )
                graphs.clear()
                most = 0
                return network(pictures)
        return graphs[shape](pictures)

    return predict


def _openvino(
    model: nn.Module, ranges: Mapping[str, Range], precision: str | None, threads: int | None
) -> tuple[Predict, str]:
    rounded, exact = (PersonNetwork(m).eval() for m in (quantise(model, ranges), model))

    def graph_in(precision: str) -> Any:
        example = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
        return convert(rounded if precision == "int8" else exact, example, (-1, -1, -1, 3))

    def predict_in(precision: str) -> Predict:
        graph = graph_in(precision)
        requests: dict[tuple[int, ...], Any] = {}

        def predict(pictures: Tensor) -> Tensor:
            shape = tuple(pictures.shape)
            if shape not in requests:
                # a video has only one
                requests[shape] = compile_for_cpu(graph, precision, shape=shape, threads=threads)
            return torch.from_numpy(requests[shape].infer([pictures.numpy()])[0])

        return predict

    if precision is None:
        precision = _quickest(network_hash(rounded), bool(ranges), graph_in, predict_in)
    check_precision(precision)
    if precision == "int8" and not ranges:
        raise RtposeError(
            "this detector's inputs were never measured for int8: run python -m training quantise"
        )
    return predict_in(precision), precision


def _quickest(
    network: str,
    measured: bool,
    graph_in: Callable[[str], Any],
    predict_in: Callable[[str], Predict],
) -> str:
    """The quickest precision in which the people are those of float32."""
    possible = possible_precisions(measured=measured)
    if len(possible) == 1:
        return possible[0]
    pixels = np.zeros((1, 320, 320, 3), np.uint8)

    def compile_in(precision: str) -> Any:
        return compile_for_cpu(graph_in(precision), precision, shape=pixels.shape)

    seconds = time_precisions(network, possible, compile_in, pixels)
    while (chosen := worthwhile(seconds)) != "fp32":
        found = _agreement(network, chosen, predict_in)
        if found.holds:
            break
        log.warning(
            "detector: in %s the people found are not those of fp32 (%s): using the next, which is "
            "slower",
            chosen,
            found,
        )
        del seconds[chosen]
    return chosen


def _agreement(network: str, precision: str, predict_in: Callable[[str], Predict]) -> Agreement:
    """How the people found compare with float32's; asked once for this network and processor."""
    question = {
        "agreement": precision,
        "recipe": same_people.RECIPE,
        "network": network,
        "size": str(_CHECKED_AT),
    }
    return ask_once(
        Agreement, _VERDICT, question, lambda: _compare(predict_in("fp32"), predict_in(precision))
    )


@torch.inference_mode()
def _compare(exact: Predict, other: Predict) -> Agreement:
    """Ask both about photographs of people."""
    found: tuple[list[Detections], list[Detections]] = [], []
    finite = True
    # lower than where people must be found by both, by what their scores may differ
    least = same_people.SURE - same_people.MOST_APART
    for image, _ in photographed_people():
        height, width = image.shape[:2]
        plan = plan_letterbox(height, width, _CHECKED_AT)
        pictures = _to_input([image], plan, "cpu")
        for predict, people in zip((exact, other), found, strict=True):
            (raw,) = predict(pictures)
            finite = finite and bool(torch.isfinite(raw).all())
            people.append(_read(raw, plan, least, OVERLAP))
    return compare_people(*found, finite=finite)


def _find(which: str | Path) -> Path:
    path = Path(which)
    if path.exists():
        return path
    raise RtposeError(
        f"detector {which}: no such file. Models are never downloaded: name one you have"
    )


def _check_device(device: str) -> None:
    # select_device says more; but it stands beside this file, and not everybody comes through it
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise RtposeError(f"unknown device {device}: try cpu or cuda") from error
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise RtposeError(f"device {device}: torch sees {torch.cuda.device_count()} CUDA devices")
    if kind.type == "mps" and not torch.backends.mps.is_available():
        raise RtposeError("device mps: not on this machine")
