"""Pictures with person boxes: reading, honest splits, and augmentation for the detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from rtpose.datasets.coco import (
    box_of,
    image_of,
    image_size,
    image_source,
    images_by_id,
    own_folder,
    posed_categories,
)
from rtpose.datasets.labels import read_json
from rtpose.errors import RtposeError
from rtpose.letterbox import PAD_VALUE
from rtpose.pictures import read_picture
from rtpose.pose import FloatArray, Image

DUPLICATE_BITS = 60
"""Pictures whose 256-bit difference hashes differ in fewer bits count as one scene.

Unrelated pictures of the set differ in about 120 bits.
"""

ZOOM = (0.75, 1.75)
"""Range of random scales, 1 being the picture that just fits its window."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """One picture and the people in it.

    Attributes
    ----------
    path : Path
    boxes : (N, 4) float32
        xyxy in pixels, counted from the picture's edges.
    source : str
    complete : bool
        Whether every person in it has a box.
    size : (int, int) or None
        Width and height that it was labelled at; None where the labels do not say.
    """

    path: Path
    boxes: FloatArray
    source: str
    complete: bool
    size: tuple[int, int] | None = None

    def read(self) -> Image:
        """Read the picture, (H, W, 3) uint8 BGR."""
        image = read_picture(self.path)
        if image is None:
            raise RtposeError(f"{self.path}: not a readable picture")
        height, width = image.shape[:2]
        if self.size not in (None, (width, height)):
            raise RtposeError(f"{self.path}: is {width}x{height}, not as large as its labels say")
        return image


def read_labels(labels: Path, pictures: Path) -> list[LabelledPicture]:
    """Read all pictures of COCO-format json (or json.gz), those without people too.

    Parameters
    ----------
    labels : Path
        The json; an image may name its ``source``, and is taken for one in which people lack a
        box unless it says ``"boxes_complete": true``.
    pictures : Path
        Folder that the file names are relative to, or that holds one of the labels' own name.

    Raises
    ------
    RtposeError
        If the file is missing or has another form.
    """
    data = read_json(labels)
    try:
        images = images_by_id(data, labels)
        boxes: dict[Any, list[list[float]]] = {number: [] for number in images}
        people = _person_categories(data, labels)
        for annotation in data["annotations"]:
            if annotation.get("category_id") not in people:
                continue
            x, y, w, h = box_of(annotation, labels)
            if not annotation.get("iscrowd") and w > 0 and h > 0:
                number = image_of(annotation, images, labels)["id"]
                boxes[number].append([x, y, x + w, y + h])
        names = [image["file_name"] for image in images.values()]
        pictures = pictures / own_folder(pictures, labels, names)
        return [
            LabelledPicture(
                pictures / image["file_name"],
                np.array(boxes[number], np.float32).reshape(-1, 4),
                image_source(image, labels),
                bool(image.get("boxes_complete")),
                image_size(image),
            )
            for number, image in images.items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RtposeError(f"{labels}: not COCO format (no {error})") from error


def _person_categories(data: Any, labels: Path) -> set[Any]:
    """Numbers of the categories that people are of: those with keypoints, or called person.

    The only one, whatever it is called; None is that of an annotation that names none.
    """
    categories = data.get("categories") or []
    people = categories
    if len(categories) > 1:
        people = posed_categories(categories)
        people += [each for each in categories if str(each.get("name")).lower() == "person"]
        if not people:
            names = ", ".join(str(category.get("name")) for category in categories)
            raise RtposeError(f"{labels}: none of its categories is called person: {names}")
    return {category.get("id") for category in people} | {None}


def split_by_scene(
    pictures: list[LabelledPicture], count: int, seed: int
) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Hold back about `count` pictures, never splitting near-duplicates: (rest, held back).

    The sets hold copies and mirror images of some pictures; with one half in training and one in
    the test, the test would measure memory.
    """
    scenes = scene_numbers([difference_hash(picture.read()) for picture in pictures])
    held: set[int] = set()
    size = 0
    for scene in np.random.default_rng(seed).permutation(scenes.max() + 1):
        if size >= count:
            break
        held.add(int(scene))
        size += int((scenes == scene).sum())
    back = [scene in held for scene in scenes.tolist()]
    return (
        [p for p, out in zip(pictures, back, strict=True) if not out],
        [p for p, out in zip(pictures, back, strict=True) if out],
    )


def difference_hash(image: Image) -> NDArray[np.bool_]:
    """(2, 256) bool: whether brightness rises from cell to cell, for the picture and its mirror."""
    small = cv2.resize(
        cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (17, 16), interpolation=cv2.INTER_AREA
    )
    rising = [np.diff(g.astype(np.int16), axis=1).ravel() > 0 for g in (small, small[:, ::-1])]
    return np.stack(rising)


def scene_numbers(hashes: list[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """(N,) number of the scene of each picture: connected groups of near-duplicates."""
    bits = np.stack(hashes).astype(np.float32) * 2 - 1
    agree = np.maximum(bits[:, 0] @ bits[:, 0].T, bits[:, 0] @ bits[:, 1].T)
    near = (bits.shape[2] - agree) / 2 < DUPLICATE_BITS
    scenes: NDArray[np.int64] = connected_components(near, directed=False)[1].astype(np.int64)
    return scenes


def add_boxes(picture: LabelledPicture, boxes: FloatArray) -> LabelledPicture:
    """Label more people in a picture."""
    return replace(picture, boxes=np.concatenate([picture.boxes, boxes]).astype(np.float32))


def augmented(
    pictures: list[LabelledPicture], size: int, random: np.random.Generator, mosaic: float
) -> tuple[Image, FloatArray]:
    """Draw one training example: a (size, size, 3) picture and its boxes (N, 4) xyxy pixels.

    With chance `mosaic` four pictures share it, which makes many small people; else one does.
    """
    if random.random() >= mosaic:
        image, boxes = _place(_draw(pictures, random), size, size, random)
    else:
        image = np.empty((size, size, 3), np.uint8)
        cut_y, cut_x = (random.uniform(0.3, 0.7, 2) * size).astype(int).tolist()
        parts: list[FloatArray] = []
        for y0, y1 in ((0, cut_y), (cut_y, size)):
            for x0, x1 in ((0, cut_x), (cut_x, size)):
                tile, found = _place(_draw(pictures, random), y1 - y0, x1 - x0, random)
                image[y0:y1, x0:x1] = tile
                parts.append(found + np.array([x0, y0, x0, y0], np.float32))
        boxes = np.concatenate(parts)
    return _recolour(image, random), boxes


def _draw(pictures: list[LabelledPicture], random: np.random.Generator) -> LabelledPicture:
    return pictures[int(random.integers(len(pictures)))]


def _place(
    picture: LabelledPicture, height: int, width: int, random: np.random.Generator
) -> tuple[Image, FloatArray]:
    """Show a picture in a window: randomly scaled, squeezed, shifted, mirrored."""
    image = picture.read()
    h, w = image.shape[:2]
    fit = min(height / h, width / w) * np.exp(random.uniform(*np.log(ZOOM)))
    squeeze = np.exp(random.uniform(-0.15, 0.15))
    sx, sy = fit * squeeze, fit / squeeze
    mirrored = random.random() < 0.5
    # The picture's centre may wander by half of what is left over, or of what sticks out.
    shift = random.uniform(-0.5, 0.5, 2) * np.abs([width - sx * w, height - sy * h])
    ax = -sx if mirrored else sx
    bx, by = width / 2 - ax * w / 2 + shift[0], height / 2 - sy * h / 2 + shift[1]
    # warpAffine maps pixel centres; boxes count from edges: half a pixel apart at each end.
    matrix = np.array([[ax, 0, bx + ax / 2 - 0.5], [0, sy, by + sy / 2 - 0.5]])
    view = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(PAD_VALUE,) * 3
    )
    x, y = picture.boxes[:, 0::2] * ax + bx, picture.boxes[:, 1::2] * sy + by
    whole = np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)
    return view.astype(np.uint8, copy=False), visible_boxes(whole.astype(np.float32), height, width)


def visible_boxes(boxes: FloatArray, height: int, width: int) -> FloatArray:
    """Clip boxes (N, 4) to a window and drop those hardly in it (under a quarter, or 4 pixels)."""
    limit = np.array([width, height, width, height], np.float32)
    clipped = np.clip(boxes, 0, limit)
    sides, before = clipped[:, 2:] - clipped[:, :2], boxes[:, 2:] - boxes[:, :2]
    kept = (sides.prod(axis=1) >= 0.25 * before.prod(axis=1)) & (sides.min(axis=1, initial=4) >= 4)
    visible: FloatArray = clipped[kept].astype(np.float32)
    return visible


def _recolour(image: Image, random: np.random.Generator) -> Image:
    """Change hue, saturation and brightness a little; one in twenty loses its colour."""
    if random.random() < 0.05:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    gain = 1 + random.uniform(-1, 1, 3) * (0.015, 0.5, 0.4)
    steps = np.arange(256)
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    tables = (
        (steps * gain[0] % 180).astype(np.uint8),
        np.clip(steps * gain[1], 0, 255).astype(np.uint8),
        np.clip(steps * gain[2], 0, 255).astype(np.uint8),
    )
    changed = [cv2.LUT(c, t) for c, t in zip((hue, saturation, value), tables, strict=True)]
    return cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2BGR).astype(np.uint8, copy=False)
