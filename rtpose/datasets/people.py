"""The one form in which every data set hands over its labelled people."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpose.errors import RtposeError
from rtpose.pose import FloatArray
from rtpose.skeleton import Skeleton

log = logging.getLogger(__name__)

RealArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class People:
    """N labelled people.

    Attributes
    ----------
    pictures : tuple of str, length N
        File of the picture each person is in, relative to the data set's folder of pictures.
    sources : tuple of str, length N
        The set each comes from.
    boxes : (N, 4) float32
        x0, y0, x1, y1 in pixels of the picture, counted from its edges. The network's crop is
        the square around the box's middle, `rtpose.geometry.CROP_MARGIN` times its longer side;
        a set that gives a crop instead of a box hands over the box that leads to that crop.
    joints : (N, K, 2) float32
        x, y by a person's hand, the middle of the top-left pixel being (0, 0); meaningless where
        not labelled.
    labelled : (N, K) bool
    teacher : (N, K, 3) float32
        x, y, score by a network; score 0 where it says nothing.
    head_sizes : (N,) float32 or None
        The set's own reference length for PCKh in pixels; None where it has none.
    sizes : (N, 2) int32 or None
        Width and height of each one's picture as the labels have it; None where they do not say.
    """

    pictures: tuple[str, ...]
    sources: tuple[str, ...]
    boxes: NDArray[np.float32]
    joints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    teacher: NDArray[np.float32]
    head_sizes: NDArray[np.float32] | None = None
    sizes: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, indices: NDArray[np.int64]) -> People:
        """The people at `indices`, in that order."""
        return People(
            tuple(self.pictures[i] for i in indices),
            tuple(self.sources[i] for i in indices),
            self.boxes[indices],
            self.joints[indices],
            self.labelled[indices],
            self.teacher[indices],
            None if self.head_sizes is None else self.head_sizes[indices],
            None if self.sizes is None else self.sizes[indices],
        )

    def labelled_size(self, row: int) -> tuple[int, int] | None:
        """Width and height that a person's labels were made at; None where they do not say.

        A picture of another size is another picture of the same name, or was resized: labels do
        not fit it.
        """
        if self.sizes is None:
            return None
        width, height = self.sizes[row].tolist()
        return width, height


def arrange_people(
    labels: Path,
    names: Sequence[str],
    skeleton: Skeleton,
    pictures: Sequence[str],
    sources: Sequence[str],
    boxes: RealArray,
    joints: RealArray,
    labelled: NDArray[np.bool_],
    teacher: RealArray | None = None,
    head_sizes: RealArray | None = None,
    sizes: NDArray[np.int32] | None = None,
) -> People:
    """Bring a data set's joints into the order of a skeleton, and leave out who is of no use.

    Joints are matched by name; names the skeleton lacks are left out with a warning, joints the
    set lacks stay unlabelled, and so do those whose place is not a number. People without any
    joint of the skeleton are left out, and those whose box is empty or not a number, with a
    warning.

    Parameters
    ----------
    labels : Path
        The file they come from, for messages.
    names : sequence of str, length J
        What the set's joints are.
    joints : (N, J, 2)
    labelled : (N, J) bool
    teacher : (N, J, 3), optional
        The rest is as `People` has it.

    Raises
    ------
    RtposeError
        If nobody is left.
    """
    count = len(pictures)
    known = [(k, skeleton.index[name]) for k, name in enumerate(names) if name in skeleton.index]
    unknown = [name for name in names if name not in skeleton.index]
    if unknown:
        log.warning(
            "%s: %s has no joints named %s; they are left out",
            labels, skeleton.name, ", ".join(unknown),
        )  # fmt: skip
    from_set, to_skeleton = [k for k, _ in known], [j for _, j in known]
    all_joints = np.zeros((count, len(skeleton), 2), np.float32)
    all_labelled = np.zeros((count, len(skeleton)), bool)
    all_teacher = np.zeros((count, len(skeleton), 3), np.float32)
    all_joints[:, to_skeleton] = joints[:, from_set]
    all_labelled[:, to_skeleton] = labelled[:, from_set]
    if teacher is not None:
        all_teacher[:, to_skeleton] = teacher[:, from_set]
    all_labelled &= np.isfinite(all_joints).all(axis=-1)
    all_joints[~all_labelled] = 0
    all_teacher[~np.isfinite(all_teacher).all(axis=-1)] = 0

    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    seen = all_labelled.any(axis=1) | (all_teacher[..., 2] > 0).any(axis=1)
    boxed = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if (seen & ~boxed).any():
        log.warning(
            "%s: %d people left out, their boxes are empty, e.g. in %s",
            labels, (seen & ~boxed).sum(), pictures[int(np.flatnonzero(seen & ~boxed)[0])],
        )  # fmt: skip
    kept = np.flatnonzero(seen & boxed)
    if not len(kept):
        lack = "box" if seen.any() else f"joint of the skeleton {skeleton.name}"
        raise RtposeError(f"{labels}: no person with a {lack}")
    everybody = People(
        tuple(pictures),
        tuple(sources),
        boxes,
        all_joints,
        all_labelled,
        all_teacher,
        None if head_sizes is None else np.asarray(head_sizes, np.float32),
        sizes,
    )
    return everybody.take(kept)


def square_boxes(centres: RealArray, sides: RealArray) -> FloatArray:
    """Boxes (N, 4) that are squares around points (N, 2) counted from the picture's edges."""
    half = sides[:, None] / 2
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


def count_sources(people: People) -> dict[str, int]:
    """People by source, most first."""
    return dict(Counter(people.sources).most_common())
