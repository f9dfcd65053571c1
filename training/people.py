"""The one form in which every data set hands over its labelled people, and COCO's json as one."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rtpose.errors import RtposeError
from rtpose.pose import Image
from rtpose.skeleton import Skeleton


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


def read_coco(path: Path, skeleton: Skeleton) -> People:
    """Read people from a COCO-format json (or .json.gz) with any keypoint names.

    Keypoints are matched to the skeleton by name; names the skeleton lacks are left out, joints
    the file lacks stay unlabelled. ``teacher_keypoints`` (x, y, score) is read where present.
    Crowds and people without any joint from either are skipped.

    Raises
    ------
    RtposeError
        If the file is missing, not COCO's format, or holds nobody usable.
    """
    data = _read_json(path)
    try:
        names: list[str] = data["categories"][0]["keypoints"]
        images = {image["id"]: image for image in data["images"]}
        annotations: list[dict[str, Any]] = data["annotations"]
    except (KeyError, IndexError, TypeError) as error:
        raise RtposeError(f"{path}: not COCO keypoint format (no {error})") from error
    known = [(k, skeleton.index[name]) for k, name in enumerate(names) if name in skeleton.index]
    from_file, to_skeleton = [k for k, _ in known], [j for _, j in known]

    pictures, sources, boxes, joints, teachers = [], [], [], [], []
    for a in annotations:
        human = _keypoints(a.get("keypoints"), len(names), path, a)[from_file]
        teacher = _keypoints(a.get("teacher_keypoints"), len(names), path, a)[from_file]
        if a.get("iscrowd") or not ((human[:, 2] > 0).any() or (teacher[:, 2] > 0).any()):
            continue
        image = images[a["image_id"]]
        pictures.append(image["file_name"])
        sources.append(image.get("source", path.name))
        x, y, w, h = a["bbox"]
        boxes.append((x, y, x + w, y + h))
        joints.append(_scatter(human, to_skeleton, len(skeleton)))
        teachers.append(_scatter(teacher, to_skeleton, len(skeleton)))
    if not pictures:
        raise RtposeError(f"{path}: no person with a joint of the skeleton {skeleton.name}")
    human_all = np.stack(joints)
    return People(
        tuple(pictures),
        tuple(sources),
        np.array(boxes, np.float32),
        human_all[..., :2].copy(),
        human_all[..., 2] > 0,
        np.stack(teachers),
    )


def count_sources(people: People) -> dict[str, int]:
    """People by source, most first."""
    return dict(Counter(people.sources).most_common())


def read_picture(path: Path) -> Image | None:
    """A picture as (H, W, 3) uint8 BGR; None where it is missing or broken."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else image.astype(np.uint8, copy=False)


def _read_json(path: Path) -> Any:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt") as file:
                return json.load(file)
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise RtposeError(f"{path}: no such file") from None
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RtposeError(f"{path}: not readable as json: {error}") from error


def _keypoints(
    values: list[float] | None, count: int, path: Path, annotation: dict[str, Any]
) -> NDArray[np.float32]:
    if values is None:
        return np.zeros((count, 3), np.float32)
    if len(values) != 3 * count:
        raise RtposeError(
            f"{path}: annotation {annotation.get('id')} has {len(values)} keypoint numbers, "
            f"expected 3 for each of {count} names"
        )
    return np.array(values, np.float32).reshape(count, 3)


def _scatter(points: NDArray[np.float32], where: list[int], count: int) -> NDArray[np.float32]:
    out = np.zeros((count, 3), np.float32)
    out[where] = points
    return out
