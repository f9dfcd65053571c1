"""COCO's keypoint format, with any joint names."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.skeleton import Skeleton


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
