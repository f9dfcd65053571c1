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

from rtpose.geometry import crop_to_frame, halvings
from rtpose.letterbox import PAD_VALUE, Letterbox
from rtpose.pose import FloatArray, Image
from rtpose.yolo import CELLS, DISTANCE_BINS, grid

Picture = Image | Tensor
"""(H, W, 3) uint8 BGR, on the host or on the GPU."""

_lent = threading.local()
_free: dict[str, list[torch.cuda.Stream]] = {}
"""Streams of each GPU that no thread has just now."""


@contextmanager
def own_stream(device: str) -> Iterator[None]:
    """Give the GPU work of this thread a stream of its own, so that stages overlap.

    Each stage runs in its own thread and ends by copying its small result to the host, which
    waits for its stream: what it hands on is complete, and what it frees is no longer in use.
    What this thread has given the GPU before, weights it loaded for one, is done first. On a CPU
    this does nothing.

    Within it the stream stays the same; afterwards another thread may have it. PyTorch keeps what
    was freed for the stream it was made on: with one for every thread there ever was, many videos
    one after the other, or a server's threads, would take the GPU's memory many times over.
    """
    if not device.startswith("cuda"):
        yield
        return
    mine: dict[str, torch.cuda.Stream] = _lent.__dict__
    inner = device in mine
    stream = mine[device] if inner else _take_stream(device)
    # PyTorch's streams do not wait for the default one by themselves
    stream.wait_stream(torch.cuda.current_stream(device))
    mine[device] = stream
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        if not inner:
            _free[device].append(mine.pop(device))


def _take_stream(device: str) -> torch.cuda.Stream:
    try:
        return _free.setdefault(device, []).pop()
    except IndexError:  # another thread may have taken the last one just now
        return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def upload(image: Image, device: str) -> Tensor:
    """A frame in device memory, (H, W, 3) uint8; from pinned memory, complete on return.

    It is waited for, 0.3 ms at 1080p over PCIe 4, for another thread's stream may read it next.
    """
    frame = torch.from_numpy(np.ascontiguousarray(image))
    if not device.startswith("cuda"):
        return frame.to(device)
    with own_stream(device):
        there = frame.pin_memory().to(device, non_blocking=True)
        torch.cuda.current_stream(device).synchronize()
        return there


def letterbox_frame(frame: Tensor, plan: Letterbox) -> Tensor:
    """Resize and pad a frame (H, W, 3) uint8 to (*plan.size, 3) uint8."""
    pixels = frame.permute(2, 0, 1)[None].float()
    scaled = functional.interpolate(pixels, plan.scaled, mode="bilinear", align_corners=False)
    out = torch.full((*plan.size, 3), PAD_VALUE, dtype=torch.uint8, device=frame.device)
    top, left = plan.offset
    inner = out[top : top + plan.scaled[0], left : left + plan.scaled[1]]
    inner.copy_(scaled[0].permute(1, 2, 0).round().clamp(0, 255))
    return out


def read_people(raw: Tensor, input_size: tuple[int, int], overlap: float, limit: int) -> Tensor:
    """The best boxes of one picture's raw predictions, overlaps suppressed.

    Parameters
    ----------
    raw : (65, A) Tensor
        `rtpose.yolo.PersonNetwork`'s output for one picture.
    input_size : (int, int)
        Height and width of the network's input.
    overlap : float
        Intersection over union above which two boxes are one person.
    limit : int
        Most boxes in the answer.

    Returns
    -------
    (N, 5) float32
        x0, y0, x1, y1 in pixels of the network's input and the score, best first.
    """
    # imported here: it takes a second, which the CPU path should not pay
    from torchvision.ops import nms

    centres, strides = _device_grid(input_size, raw.device)
    logits, chosen = raw[-1].float().topk(min(CELLS, raw.shape[1]))
    scores = logits.sigmoid()
    bins = raw[:-1, chosen].float().view(4, DISTANCE_BINS, -1).softmax(dim=1)
    steps = torch.arange(DISTANCE_BINS, dtype=torch.float32, device=raw.device)
    # no matrix product: for one cuBLAS keeps 32 MiB for every thread that ever asked
    sides = (bins * steps[:, None]).sum(1).T * strides[chosen, None]
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
    rgb = frame.permute(2, 0, 1).flip(0)
    factors = _shrink_factors(squares, size, *frame.shape[:2])
    # people of one picture are of few sizes, so this is one or two samplings for all of them
    for factor in np.unique(factors):
        rows = np.flatnonzero(factors == factor)
        if factor > 1:
            pictures, places = _shrink(rgb, squares[rows], int(factor))
        else:
            pictures, places = rgb[None].float(), squares[rows]
        crops[torch.from_numpy(rows).to(frame.device)] = _sample(pictures, places, size)
    return crops


def _shrink_factors(squares: FloatArray, size: int, height: int, width: int) -> FloatArray:
    """Side of the blocks that are averaged before sampling, (N,) whole numbers; 1 is none."""
    factors = 2.0 ** halvings(squares[:, 2], size)
    columns, rows = (_blocks(squares, factors, axis, n)[1] for axis, n in ((0, width), (1, height)))
    # of a square that holds no whole block of the frame nothing is left to average
    return np.where((columns >= 1) & (rows >= 1), factors, 1).astype(np.float32)


def _blocks(
    squares: FloatArray, factors: FloatArray | int, axis: int, length: int
) -> tuple[FloatArray, FloatArray]:
    """First pixel of the frame under each square, and how many whole blocks cover it from there.

    Fewer where the frame ends before: below 1 where no whole block is in both.
    """
    corner = squares[:, axis]
    first = np.maximum(np.floor(corner), 0)
    needed = np.ceil((np.ceil(corner + squares[:, 2]) - first) / factors)
    return first, np.minimum(needed, (length - first) // factors)


def _shrink(rgb: Tensor, squares: FloatArray, factor: int) -> tuple[Tensor, FloatArray]:
    """The part of the frame under each square by block means, and where the square lies there.

    The blocks of each square begin at its own first pixel, as on the host. Their sums are read
    off a table of sums over all pixels above and to the left; it may overflow, the differences
    are right all the same.
    """
    height, width = rgb.shape[1:]
    (left, columns), (top, rows) = (
        _blocks(squares, factor, axis, length) for axis, length in ((0, width), (1, height))
    )
    count = int(max(columns.max(), rows.max()))
    steps = np.arange(count + 1) * factor
    # past its last whole block a square's edges repeat, so that what lies there has no area
    x = np.minimum(left[:, None] + steps, (left + columns * factor)[:, None]).astype(np.int64)
    y = np.minimum(top[:, None] + steps, (top + rows * factor)[:, None]).astype(np.int64)
    edges_x, edges_y = (torch.from_numpy(edges).to(rgb.device) for edges in (x, y))
    table = functional.pad(rgb.to(torch.int32), (1, 0, 1, 0))
    table = table.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)
    corners = table[:, edges_y[:, :, None], edges_x[:, None, :]].transpose(0, 1)
    sums = corners.diff(dim=2).diff(dim=3)
    places = np.stack([squares[:, 0] - left, squares[:, 1] - top, squares[:, 2]], axis=1) / factor
    return (sums / factor**2).round(), places.astype(np.float32)


def _sample(pictures: Tensor, squares: FloatArray, size: int) -> Tensor:
    """Bilinear samples of one picture (1, 3, H, W) for all squares, or of one for each."""
    height, width = pictures.shape[2:]
    maps = torch.from_numpy(crop_to_frame(squares, size)).to(pictures.device)
    steps = torch.arange(size, dtype=torch.float32, device=pictures.device)
    x = maps[:, 0, 0, None] * steps + maps[:, 0, 2, None]
    y = maps[:, 1, 1, None] * steps + maps[:, 1, 2, None]
    # grid_sample counts from -1 to 1 between the outer edges of the outer pixels
    x, y = (2 * x + 1) / width - 1, (2 * y + 1) / height - 1
    count = len(squares)
    grid_of_places = torch.stack(
        [x[:, None].expand(count, size, size), y[:, :, None].expand(count, size, size)], dim=-1
    )
    crops = functional.grid_sample(
        pictures.expand(count, -1, -1, -1),
        grid_of_places,
        padding_mode="zeros",
        align_corners=False,
    )
    return crops.round().clamp(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=16)
def _device_grid(input_size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    centres, strides = grid(input_size)
    return torch.from_numpy(centres).to(device), torch.from_numpy(strides).to(device)
