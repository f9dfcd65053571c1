"""Leeds Sports Poses and its Extended set: 14 joints, one person a picture, no boxes.

Both are a ``joints.mat`` beside a folder of numbered pictures, and the third number of a joint
means the opposite in the two. In LSP, 3 x 14 x 2000, it is 1 where the joint is hidden; hidden
ones are labelled all the same. In LSP-Extended, 14 x 3 x 10000, it is 1 where the joint was
labelled; the place of the others is meaningless.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.labels import mat_shape, read_mat
from rtpose.datasets.people import People, arrange_people
from rtpose.errors import RtposeError
from rtpose.skeleton import LSP14, Skeleton

BOX_ROOM = 0.08
"""Room between the outermost joints and the box, as a part of their longer extent."""


def read_lsp(labels: Path, split: Literal["train", "test"], skeleton: Skeleton) -> People:
    """Read LSP (official split: the first half trains, the second tests) or LSP-Extended.

    Which of the two it is shows in the order of the axes. All of LSP-Extended is for training.

    Raises
    ------
    RtposeError
        If the file is missing, damaged, or another format, or LSP-Extended is asked for a test.
    """
    (data,) = read_mat(labels, "joints")
    if data.ndim != 3 or sorted(data.shape[:2]) != [3, len(LSP14)]:
        raise RtposeError(f"{labels}: not LSP's joints: an array of shape {data.shape}")
    extended = data.shape[0] == len(LSP14)
    count = data.shape[2]
    points = data.transpose(2, 0, 1) if extended else data.transpose(2, 1, 0)
    joints = points[..., :2].astype(np.float32)
    labelled = np.isfinite(joints).all(axis=-1)
    if extended:
        labelled &= points[..., 2] > 0
        source, digits, rows = "lspet", 5, np.arange(count)
    else:
        source, digits = "lsp", 4
        half = count // 2
        rows = np.arange(half) if split == "train" else np.arange(half, count)
    if extended and split == "test":
        raise RtposeError(f"{labels}: LSP-Extended has no test split")
    return arrange_people(
        labels, LSP14.joints, skeleton,
        pictures=[f"im{i + 1:0{digits}d}.jpg" for i in rows], sources=[source] * len(rows),
        boxes=_boxes_around(joints[rows], labelled[rows]),
        joints=joints[rows], labelled=labelled[rows],
    )  # fmt: skip


def is_extended(labels: Path) -> bool:
    """Whether a ``joints.mat`` is LSP-Extended's, not LSP's, by the order of its axes."""
    return mat_shape(labels, "joints")[:1] == (len(LSP14),)


def _boxes_around(joints: NDArray[np.float32], labelled: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Boxes (N, 4) around the labelled joints; NaN for nobody's."""
    known = np.where(labelled[..., None], joints, np.nan)
    empty = ~labelled.any(axis=1)
    known[empty] = 0
    low, high = np.nanmin(known, axis=1), np.nanmax(known, axis=1)
    room = BOX_ROOM * (high - low).max(axis=1, keepdims=True)
    boxes = np.concatenate([low - room, high + room], axis=1) + 0.5
    boxes[empty] = np.nan
    return boxes.astype(np.float32)
