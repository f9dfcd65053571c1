"""The one-class YOLO network: build it, store it, load it without unpickling, read its output."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtpose.errors import RtposeError
from rtpose.offline import import_ultralytics
from rtpose.pose import FloatArray
from rtpose.quantised import Range
from rtpose.weights_file import check_tensors, read_weights, write_weights

FORMAT = "rtpose.detector/1"
"""Marks a safetensors file as ours, in its metadata."""

DISTANCE_BINS = 16
"""YOLO11 predicts each side's distance as a distribution over 0..15 strides (``reg_max``)."""

STRIDES = (8, 16, 32)
"""Pixels between the centres of the three grids YOLO11 predicts on."""

CELLS = 300
"""Most grid cells of a picture that are looked at, the best."""

_YAML_KEYS = ("nc", "scales", "scale", "backbone", "head")
_LAYERS = {"Conv", "C3k2", "SPPF", "C2PSA", "Concat", "Detect", "nn.Upsample"}


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What a detector file says about itself.

    Attributes
    ----------
    size : int
        Input size (longer side, pixels) it is meant to run at.
    confidence : float
        Score below which its detections are best left out.
    yaml : dict
        ultralytics' description of the architecture.
    ranges : dict of str to (float, float)
        Between what the inputs of its `eight_bit_convolutions` lie; empty if nobody measured it.
    notes : dict of str to str
        Data, scores, date, licence: for people.
    """

    size: int
    confidence: float
    yaml: dict[str, Any]
    notes: dict[str, str]
    ranges: dict[str, Range] = field(default_factory=dict)


class PersonNetwork(nn.Module):
    """Pictures in, raw predictions out, with nothing that depends on data: it can be exported.

    Input is (B, H, W, 3) uint8 BGR, as OpenCV has it, H and W multiples of 32. Output is
    (B, 65, A): for each of the A grid cells, stride by stride and row by row, 4 x 16 logits of the
    distances to the left, top, right and bottom side, and the logit of "a person".
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        """Predict; see the class."""
        dtype = next(self.model.parameters()).dtype
        rgb = pictures.permute(0, 3, 1, 2).flip(1).to(dtype) / 255
        # In training mode the head hands out its maps as they are; in evaluation mode it would
        # decode every cell, with a grid cached from an earlier shape.
        self.model.get_submodule("model")[-1].train()  # type: ignore[index]
        maps = self.model(rgb)
        return torch.cat([maps["boxes"], maps["scores"]], dim=1)


def build_model(yaml: dict[str, Any]) -> nn.Module:
    """Build ultralytics' `DetectionModel` with folded batch norms and a head for persons only.

    The head keeps the width it has for all the classes of `yaml`: only its last layer shrinks, so
    that a network trained on 80 classes becomes a person detector of the same skill.

    Raises
    ------
    RtposeError
        If ultralytics cannot build the architecture, or it is not one this module can read.
    """
    _check_yaml(yaml)
    tasks = import_ultralytics("ultralytics.nn.tasks")
    try:
        model = tasks.DetectionModel(copy.deepcopy(yaml), verbose=False)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise RtposeError(f"ultralytics cannot build this detector: {error}") from error
    for module in model.modules():
        if type(module).__name__ == "SPPF":
            # YOLO26's has none here: ultralytics 8.4 at first took it away from YOLO11's, too
            module.cv1.act = nn.SiLU()
    return person_only(model, row=0)


def person_only(model: Any, row: int) -> nn.Module:
    """Fold the batch norms of a `DetectionModel` and cut its head down to class number `row`.

    Raises
    ------
    RtposeError
        If it is not a plain YOLO detector with three strides.
    """
    head = model.model[-1]
    plain = type(head).__name__ == "Detect" and getattr(head, "one2one_cv2", None) is None
    if not plain or head.reg_max != DISTANCE_BINS or tuple(head.stride.tolist()) != STRIDES:
        raise RtposeError("not a YOLO11-like detector: another head or other strides")
    model = model.float().eval().fuse(verbose=False)
    for branch in head.cv3:
        last = branch[-1]
        single = nn.Conv2d(last.in_channels, 1, 1)
        with torch.no_grad():
            single.weight.copy_(last.weight[row : row + 1])
            single.bias.copy_(last.bias[row : row + 1])  # type: ignore[union-attr]
        branch[-1] = single
    head.nc, head.no = 1, 1 + 4 * DISTANCE_BINS
    model.nc, model.names = 1, {0: "person"}
    return cast(nn.Module, model)


def eight_bit_convolutions(model: nn.Module) -> list[str]:
    """Names of the convolutions that can do with eight bits: all but the ends.

    The first one sees the picture itself, and has but three channels; the last ones give the
    answers, whose steps would be seen.
    """
    head = model.get_submodule("model")[-1]  # type: ignore[index]
    last = {*(branch[-1] for branch in (*head.cv2, *head.cv3)), head.dfl.conv}
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module not in last
    ]
    return names[1:]


def save_model(model: nn.Module, info: DetectorInfo, path: Path) -> None:
    """Write a one-class model; see `rtpose.weights_file.write_weights`."""
    metadata = {
        "format": FORMAT,
        "size": str(info.size),
        "confidence": str(info.confidence),
        "yaml": json.dumps(info.yaml),
        "ranges": json.dumps(info.ranges),
        **info.notes,
    }
    write_weights(path, model.state_dict(), metadata)


def load_model(path: Path) -> tuple[nn.Module, DetectorInfo]:
    """Read what `save_model` wrote, in float32 on the CPU.

    Raises
    ------
    RtposeError
        If the file is missing, not a detector of ours, or any tensor is missing, surplus, of
        another shape or not finite.
    """
    tensors, metadata = read_weights(path)
    info = _read_info(metadata, path)
    try:
        model = build_model(info.yaml)
    except RtposeError as error:
        raise RtposeError(f"{path}: {error}") from error
    check_tensors(path, tensors, model.state_dict())
    if info.ranges and info.ranges.keys() != set(eight_bit_convolutions(model)):
        raise RtposeError(f"{path}: the ranges in its metadata are not those of its architecture")
    model.load_state_dict({key: value.float() for key, value in tensors.items()})
    return model.eval(), info


def read_predictions(
    raw: Tensor, input_size: tuple[int, int], confidence: float
) -> tuple[FloatArray, FloatArray]:
    """Boxes and scores of the `CELLS` best that see a person, best first, overlaps still in.

    Parameters
    ----------
    raw : (65, A) Tensor
        `PersonNetwork`'s output for one picture.
    input_size : (int, int)
        Height and width of the network's input.
    confidence : float
        Least score, 0 to 1.

    Returns
    -------
    boxes : (N, 4) float32
        xyxy in pixels of the network's input.
    scores : (N,) float32
    """
    centres, strides = grid(input_size)
    best, cells = raw[-1].float().topk(min(CELLS, raw.shape[1]))
    scores: FloatArray = best.sigmoid().cpu().numpy()
    keep = int((scores >= confidence).sum())
    cells = cells[:keep]
    # Only the few cells that count are decoded, on the host, and with numpy: torch's threads spin
    # for a while after work, which costs the next network run on the CPU a third of its speed.
    bins = raw[:-1, cells].float().cpu().numpy().reshape(4, DISTANCE_BINS, keep)
    weights = np.exp(bins - bins.max(axis=1, keepdims=True))
    means = np.arange(DISTANCE_BINS, dtype=np.float32) @ (
        weights / weights.sum(axis=1, keepdims=True)
    )
    chosen = cells.cpu().numpy()
    sides = means.T * strides[chosen, None]
    middle = centres[chosen]
    boxes = np.concatenate([middle - sides[:, :2], middle + sides[:, 2:]], axis=1)
    return boxes.astype(np.float32), scores[:keep]


def suppress_overlaps(boxes: FloatArray, scores: FloatArray, overlap: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: (M,) rows to keep, best score first.

    A box goes if its intersection over union with a better one that stays is above `overlap`.
    """
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), 0.0, overlap)
    return np.asarray(kept, np.int64).reshape(-1)


@lru_cache(maxsize=16)
def grid(input_size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Centres (A, 2) as x, y in pixels of the input, and the stride of each, (A,)."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = input_size[0] // stride, input_size[1] // stride
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        centres.append(np.stack([x.ravel(), y.ravel()], axis=1) * stride + stride / 2)
        strides.append(np.full(rows * columns, stride, np.float32))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides)


def trim_yaml(yaml: dict[str, Any]) -> dict[str, Any]:
    """Keep what `build_model` needs of a model's yaml, and no path it was read from."""
    return {key: yaml[key] for key in _YAML_KEYS if key in yaml}


def _check_yaml(yaml: dict[str, Any]) -> None:
    # ultralytics looks layers up by name and evaluates an "activation" entry as Python, so a
    # description from a file may only say what a YOLO11 detector needs.
    try:
        layers = [layer[2] for layer in [*yaml["backbone"], *yaml["head"]]]
        strange = sorted({*yaml.keys() - set(_YAML_KEYS), *(set(layers) - _LAYERS)})
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise RtposeError(f"not the description of a YOLO11 detector ({error!r})") from error
    if strange:
        raise RtposeError(f"not the description of a YOLO11 detector: it names {strange[0]}")


def _read_info(metadata: dict[str, str], path: Path) -> DetectorInfo:
    if metadata.get("format") != FORMAT:
        raise RtposeError(f"{path}: no rtpose detector (its metadata lacks format {FORMAT})")
    own = ("format", "size", "confidence", "yaml", "ranges")
    try:
        return DetectorInfo(
            int(metadata["size"]),
            float(metadata["confidence"]),
            json.loads(metadata["yaml"]),
            {key: value for key, value in metadata.items() if key not in own},
            {
                str(name): (float(low), float(high))
                for name, (low, high) in json.loads(metadata.get("ranges", "{}")).items()
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RtposeError(f"{path}: broken detector metadata: {error}") from error
