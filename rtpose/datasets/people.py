"""The one form in which every data set hands over its labelled people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rtpose.pose import Image


@dataclass(frozen=True, eq=False)
class People:
    """N labelled people.

    Attributes
    ----------
    pictures : tuple of str, length N
        File of the picture each person is in, relative to the data folder.
    sources : tuple of str, length N
        The set each comes from.
    boxes : (N, 4) float32
        x0, y0, x1, y1 in pixels of the picture.
    joints : (N, K, 2) float32
        x, y by a person's hand; meaningless where not labelled.
    labelled : (N, K) bool
    teacher : (N, K, 3) float32
        x, y, score by a network; score 0 where it says nothing.
    """

    pictures: tuple[str, ...]
    sources: tuple[str, ...]
    boxes: NDArray[np.float32]
    joints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    teacher: NDArray[np.float32]

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
        )


def count_sources(people: People) -> dict[str, int]:
    """People by source, most first."""
    return dict(Counter(people.sources).most_common())


def read_picture(path: Path) -> Image | None:
    """A picture as (H, W, 3) uint8 BGR; None where it is missing or broken."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else image.astype(np.uint8, copy=False)
