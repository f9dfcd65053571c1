"""COCO's keypoint format, with any joint names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpose.datasets.labels import read_json
from rtpose.datasets.people import People, arrange_people
from rtpose.errors import RtposeError
from rtpose.skeleton import Skeleton


def read_coco(path: Path, skeleton: Skeleton) -> People:
    """Read people from a COCO-format json (or .json.gz) with any keypoint names.

    Keypoints are matched to the skeleton by name, ``Left Knee`` as ``left_knee``; names the
    skeleton lacks are left out, joints the file lacks stay unlabelled. ``teacher_keypoints`` (x, y,
    score) is read where present. Crowds and people without any joint from either are skipped, and
    of several categories all but those with the first one's keypoints.

    Parameters
    ----------
    path : Path
    skeleton : Skeleton

    Raises
    ------
    RtposeError
        If the file is missing, not COCO's format, or holds nobody usable.
    """
    data = read_json(path)
    try:
        names, annotations = keypoint_annotations(data)
        images = images_by_id(data, path)
        rows = [a for a in annotations if not a.get("iscrowd")]
        shown = [image_of(a, images, path) for a in rows]
        pictures = [os.fspath(image["file_name"]) for image in shown]
        # who has no box is left out, and said, with those whose box is empty
        boxes = np.array([box_of(a, path) for a in rows], np.float32).reshape(-1, 4)
        labelled_at = [image_size(image) for image in shown]
        sizes = np.array(labelled_at, np.int32).reshape(-1, 2) if all(labelled_at) else None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise RtposeError(f"{path}: not COCO keypoint format (no {error})") from error
    boxes[:, 2:] += boxes[:, :2]
    human = _keypoints(rows, "keypoints", len(names), path)
    teacher = _keypoints(rows, "teacher_keypoints", len(names), path)
    sources = [image_source(image, path) for image in shown]
    return arrange_people(
        path, names, skeleton, pictures, sources, boxes,
        joints=human[..., :2], labelled=human[..., 2] > 0, teacher=teacher, sizes=sizes,
    )  # fmt: skip


def keypoint_annotations(data: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Names of the keypoints as skeletons write them, and the annotations that have them.

    Raises
    ------
    KeyError, TypeError
        If no category has keypoints.
    """
    posed = posed_categories(data["categories"])
    if not posed:
        raise KeyError("keypoints")
    names = [re.sub(r"[\s-]+", "_", name.strip()).lower() for name in posed[0]["keypoints"]]
    numbers = {category.get("id") for category in posed} | {None}
    return names, [a for a in data["annotations"] if a.get("category_id") in numbers]


def posed_categories(categories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first category that has keypoints, and those with the same, as players and goalkeepers.

    Tools that label put others before it: Roboflow one for the whole project, CVAT every label,
    with an empty list.
    """
    posed = [category for category in categories if category.get("keypoints")]
    return [category for category in posed if category["keypoints"] == posed[0]["keypoints"]]


def images_by_id(data: Any, labels: Path) -> dict[Any, dict[str, Any]]:
    """The pictures by their number.

    Raises
    ------
    RtposeError
        If two have the same, as in exports that were put together as they are: the people of one
        would be looked for in the other.
    """
    images: dict[Any, dict[str, Any]] = {}
    for image in data["images"]:
        first = images.setdefault(image["id"], image)
        if first["file_name"] != image["file_name"]:
            raise RtposeError(
                f"{labels}: {first['file_name']} and {image['file_name']} have the same id "
                f"{image['id']!r}: give one another, and the annotations of its people too"
            )
    return images


def image_of(
    annotation: dict[str, Any], images: dict[Any, dict[str, Any]], labels: Path
) -> dict[str, Any]:
    """The picture that somebody is in.

    Raises
    ------
    RtposeError
        If the labels have none of that number.
    """
    number = annotation["image_id"]
    if number not in images:
        raise RtposeError(
            f"{labels}: annotation {annotation.get('id')} is of the image with id {number!r}, "
            "and there is none; add it, or take the annotation out"
        )
    return images[number]


def image_size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height of a picture; None where its labels do not say, or say 0."""
    width, height = image.get("width"), image.get("height")
    return (int(width), int(height)) if width and height else None


def box_of(annotation: dict[str, Any], labels: Path) -> tuple[float, float, float, float]:
    """x, y, width and height of somebody's box; all 0 where there is none.

    Raises
    ------
    RtposeError
        If it is no four numbers.
    """
    box = annotation.get("bbox") or (0, 0, 0, 0)
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError):
        raise RtposeError(
            f"{labels}: annotation {annotation.get('id')} has the bbox {box!r}, expected "
            "x, y, width and height"
        ) from None
    return x, y, width, height


def image_source(image: dict[str, Any], labels: Path) -> str:
    """Which set a picture is of: what it says itself, else the name of its labels."""
    return str(image.get("source") or labels.name)


_COCOS_OWN = "person_keypoints_"
"""What COCO, and CVAT after it, put before a split's name."""


def split_of(labels: Path) -> str:
    """Name of the split that labels are of."""
    # Roboflow's lie beside their pictures, and are all called the same
    name = labels.parent.name if labels.name.startswith("_") else labels.name
    return name.partition(".json")[0].removeprefix(_COCOS_OWN)


def own_folder(pictures: Path, labels: Path, names: Iterable[str]) -> str:
    """``SPLIT/``, ``images/SPLIT/`` or ``images/``: where the pictures that labels name lie.

    Nothing if in none of them, or named from the root; of COCO's own, where they belong. Splits
    that number their pictures alike need one each: unpacked into one folder, the later one's
    pictures replace the earlier one's.
    """
    names = [name for name in names if not Path(name).is_absolute()]
    split = split_of(labels)
    for folder in (f"{split}/", f"images/{split}/", "images/", ""):
        if any((pictures / folder / name).is_file() for name in names):
            return folder
    return f"{split}/" if names and labels.name.startswith(_COCOS_OWN) else ""


def _keypoints(rows: list[dict[str, Any]], key: str, count: int, path: Path) -> NDArray[np.float32]:
    """One key of all annotations, (N, count, 3); zeros where an annotation lacks it."""
    each = [keypoints_of(row, key, count, path) for row in rows]
    return np.array(each, np.float32).reshape(-1, count, 3)


def keypoints_of(
    annotation: dict[str, Any], key: str, count: int, labels: Path
) -> NDArray[np.float64]:
    """One key of an annotation, (count, 3); zeros where it lacks it, NaN for null.

    Raises
    ------
    RtposeError
        If there are not three for each, or some are no numbers.
    """
    values = annotation.get(key)
    if not values:
        return np.zeros((count, 3))
    if not isinstance(values, list) or len(values) != 3 * count:
        given = len(values) if isinstance(values, list) else repr(values)
        raise RtposeError(
            f"{labels}: annotation {annotation.get('id')} has {given} keypoint numbers, "
            f"expected 3 for each of {count} names"
        )
    try:
        return np.array(values, np.float64).reshape(count, 3)
    except (TypeError, ValueError):
        raise RtposeError(
            f"{labels}: annotation {annotation.get('id')} has keypoints that are no numbers"
        ) from None
