"""Pictures of people with their joints drawn, side by side: most faults are seen at once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rtpose.bench.accuracy import Scored
from rtpose.draw import draw_poses
from rtpose.geometry import crop_squares, cut_crops, to_crops
from rtpose.metrics import torso_reference
from rtpose.pictures import read_picture
from rtpose.pose import FloatArray, Image, Pose
from rtpose.skeleton import Skeleton
from training.batches import Batch

_TILE = 256
_COLUMNS = 8


def worst_rows(scored: Scored, skeleton: Skeleton, count: int) -> list[int]:
    """The people whose labelled joints are furthest off, in torso lengths on average."""
    people = scored.people
    reference = torso_reference(people.joints, people.labelled, skeleton)
    off = np.linalg.norm(scored.joints[..., :2] - people.joints, axis=-1) / reference[:, None]
    known = people.labelled & np.isfinite(off)
    mean = np.where(known, off, 0).sum(axis=1) / np.where(
        known.any(axis=1), known.sum(axis=1), np.nan
    )
    usable = np.flatnonzero(np.isfinite(mean))
    return [int(i) for i in usable[np.argsort(-mean[usable])][:count]]


def even_rows(scored: Scored, count: int) -> list[int]:
    """People spread evenly over the set: the same ones every time."""
    count = min(count, len(scored.people))
    return [int(i) for i in np.linspace(0, len(scored.people) - 1, count)]


def predictions_sheet(scored: Scored, pictures: Path, skeleton: Skeleton, rows: list[int]) -> Image:
    """Crops with the predicted skeleton, and a white line from each joint to where it belongs.

    Parameters
    ----------
    scored : Scored
    pictures : Path
        Folder that the names in `scored` are relative to.
    skeleton : Skeleton
    rows : list of int
        Whom to show.

    Returns
    -------
    (H, W, 3) uint8, BGR
    """
    tiles = []
    for i in rows:
        image = read_picture(pictures / scored.people.pictures[i])
        if image is None:
            continue
        square = crop_squares(scored.people.boxes[i : i + 1])
        tile = np.ascontiguousarray(
            cut_crops(image, square, _TILE)[0].transpose(1, 2, 0)[..., ::-1]
        )
        joints = scored.joints[i].copy()
        joints[:, :2] = to_crops(joints[None, :, :2], square, _TILE)[0]
        truth = to_crops(scored.people.joints[i][None], square, _TILE)[0]
        # all of them: squared error's scores are near 0.01 even where they are right
        _draw(tile, joints, skeleton, min_score=0.0)
        for k in np.flatnonzero(scored.people.labelled[i]):
            start, end = (tuple(int(v) for v in p) for p in (joints[k, :2], truth[k]))
            cv2.line(tile, start, end, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(tile)
    return _grid(tiles)


def batch_sheet(batch: Batch, skeleton: Skeleton) -> Image:
    """An augmented batch with what it teaches, (H, W, 3) uint8 BGR."""
    tiles = []
    for picture, joints, weights in zip(batch.pictures, batch.joints, batch.weights, strict=True):
        tile = np.ascontiguousarray(picture.cpu().numpy().transpose(1, 2, 0)[..., ::-1])
        zoom = _TILE / tile.shape[0]
        tile = np.asarray(cv2.resize(tile, (_TILE, _TILE)), dtype=np.uint8)
        places = ((joints + 0.5) * zoom - 0.5).cpu().numpy()
        known = (weights > 0).float().cpu().numpy()
        _draw(tile, np.concatenate([places, known[:, None]], axis=1), skeleton, min_score=0.5)
        tiles.append(tile)
    return _grid(tiles)


def _draw(tile: Image, joints: FloatArray, skeleton: Skeleton, min_score: float) -> None:
    box = np.array([0, 0, _TILE, _TILE], np.float32)
    pose = Pose(box, 1.0, joints.astype(np.float32))
    draw_poses(tile, [pose], skeleton, min_score=min_score, predicted=skeleton)


def _grid(tiles: list[Image]) -> Image:
    if not tiles:
        return np.zeros((_TILE, _TILE, 3), np.uint8)
    blank = np.zeros_like(tiles[0])
    tiles = tiles + [blank] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows).astype(np.uint8)
