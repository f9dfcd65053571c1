"""Frames that stay in the GPU's memory: the steps around the two networks, batched, in torch.

The same answers as OpenCV and numpy give on the host (`rtpose.letterbox`, `rtpose.yolo`,
`rtpose.geometry`), up to the rounding of pixels. Works on CPU tensors too, where it is tested,
but there the host's way is faster.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rtpose.geometry import crop_to_frame
from rtpose.letterbox import PAD_VALUE, Letterbox
from rtpose.pose import FloatArray, Image
from rtpose.yolo import DISTANCE_BINS, grid

Picture = Image | Tensor
"""(H, W, 3) uint8 BGR, on the host or on the GPU."""

_streams = threading.local()


@contextmanager
def own_stream(device: str) -> Iterator[None]:
    """Give the GPU work of this thread a stream of its own, so that stages overlap.

    Each stage runs in its own thread and ends by copying its small result to the host, which
    waits for its stream: what it hands on is complete, and what it frees is no longer in use.
    On a CPU this does nothing.
    """
    if not device.startswith("cuda"):
        yield
        return
    streams: dict[str, torch.cuda.Stream] = _streams.__dict__
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(streams[device]):
        yield


def upload(image: Image, device: str) -> Tensor:
    """A frame in device memory, (H, W, 3) uint8; from pinned memory, without waiting."""
    frame = torch.from_numpy(np.ascontiguousarray(image))
    if not device.startswith("cuda"):
        return frame.to(device)
    with own_stream(device):
        return frame.pin_memory().to(device, non_blocking=True)


def letterbox_frames(frames: Tensor, plan: Letterbox) -> Tensor:
    """Resize and pad frames (B, H, W, 3) uint8 to (B, *plan.size, 3) uint8."""
    pixels = frames.permute(0, 3, 1, 2).float()
    scaled = functional.interpolate(pixels, plan.scaled, mode="bilinear", align_corners=False)
    out = torch.full(
        (len(frames), *plan.size, 3), PAD_VALUE, dtype=torch.uint8, device=frames.device
    )
    top, left = plan.offset
    inner = out[:, top : top + plan.scaled[0], left : left + plan.scaled[1]]
    inner.copy_(scaled.permute(0, 2, 3, 1).round().clamp(0, 255))
    return out


def read_people(
    raw: Tensor, input_size: tuple[int, int], overlap: float, cells: int = 300, limit: int = 100
) -> Tensor:
    """The best boxes of one picture's raw predictions, overlaps suppressed.

    Parameters
    ----------
    raw : (65, A) Tensor
        `rtpose.yolo.PersonNetwork`'s output for one picture.
    input_size : (int, int)
        Height and width of the network's input.
    overlap : float
        Intersection over union above which two boxes are one person.
    cells, limit : int
        Grid cells that are looked at, and most boxes in the answer.

    Returns
    -------
    (N, 5) float32
        x0, y0, x1, y1 in pixels of the network's input and the score, best first.
    """
    # imported here: it takes a second, which the CPU path should not pay
    from torchvision.ops import nms

    centres, strides = _device_grid(input_size, raw.device)
    logits, chosen = raw[-1].float().topk(min(cells, raw.shape[1]))
    scores = logits.sigmoid()
    bins = raw[:-1, chosen].float().view(4, DISTANCE_BINS, -1).softmax(dim=1)
    steps = torch.arange(DISTANCE_BINS, dtype=torch.float32, device=raw.device)
    sides = torch.einsum("sbm,b->ms", bins, steps) * strides[chosen, None]
    middle = centres[chosen]
    boxes = torch.cat([middle - sides[:, :2], middle + sides[:, 2:]], dim=1)
    kept = nms(boxes, scores, overlap)[:limit]
    return torch.cat([boxes[kept], scores[kept, None]], dim=1)


def cut_squares(frame: Tensor, squares: FloatArray, size: int) -> Tensor:
    """Cut squares out of a frame and bring them to one size; see `rtpose.geometry.cut_crops`.

    Parameters
    ----------
    frame : (H, W, 3) uint8 BGR Tensor
    squares : (N, 3) float32
        As `rtpose.geometry.crop_squares` gives them.
    size : int
        Side of the crops in pixels.

    Returns
    -------
    (N, 3, size, size) uint8 Tensor, RGB, on the frame's device
    """
    squares = np.asarray(squares, np.float32).reshape(-1, 3)
    crops = frame.new_empty(len(squares), 3, size, size)
    picture = frame.permute(2, 0, 1).flip(0)[None].float()
    shrink = np.maximum((squares[:, 2] / size).astype(int), 1)
    # far larger squares are first shrunk by averaging blocks; people of one picture are mostly
    # of one or two sizes, so this is one or two samplings for all of them
    for factor in np.unique(shrink):
        rows = np.flatnonzero(shrink == factor)
        crops[torch.from_numpy(rows).to(frame.device)] = _sample(
            picture, squares[rows], size, int(factor)
        )
    return crops


def _sample(picture: Tensor, squares: FloatArray, size: int, factor: int) -> Tensor:
    if factor > 1 and min(picture.shape[2:]) >= factor:
        picture = functional.avg_pool2d(picture, factor)
        squares = (squares / factor).astype(np.float32)
    height, width = picture.shape[2:]
    maps = torch.from_numpy(crop_to_frame(squares, size)).to(picture.device)
    steps = torch.arange(size, dtype=torch.float32, device=picture.device)
    x = maps[:, 0, 0, None] * steps + maps[:, 0, 2, None]
    y = maps[:, 1, 1, None] * steps + maps[:, 1, 2, None]
    # grid_sample counts from -1 to 1 between the outer edges of the outer pixels
    x, y = (2 * x + 1) / width - 1, (2 * y + 1) / height - 1
    count = len(squares)
    places = torch.stack(
        [x[:, None].expand(count, size, size), y[:, :, None].expand(count, size, size)], dim=-1
    )
    # all crops one below the other in one picture: the frame is sampled once and not repeated
    sampled = functional.grid_sample(
        picture, places.reshape(1, count * size, size, 2), padding_mode="zeros", align_corners=False
    )
    crops = sampled.view(3, count, size, size).transpose(0, 1)
    return crops.round().clamp(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=16)
def _device_grid(input_size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    centres, strides = grid(input_size)
    return torch.from_numpy(centres).to(device), torch.from_numpy(strides).to(device)
