"""Every person's picture, cut out once and kept as uint8 in one memory map.

Decoding and cutting costs more than all augmentation together, so it is done once. The stored
square is wider than the network's crop, so that there is room to scale, rotate and shift.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.geometry import crop_squares, cut_crops, to_crops
from rtpose.pictures import read_picture
from rtpose.pose import Image
from rtpose.targets import partial_path, write_whole
from training.trust import trusted_joints

log = logging.getLogger(__name__)

STORE_SIDE = 256
"""Pixels of a stored square: about the resolution of the single-person pictures we train on."""

STORE_MARGIN = 1.5
"""Stored square over the longer side of the box."""

_THREADS, _AT_ONCE = os.cpu_count(), 256
"""Of those that cut pictures, and pictures whose people wait in memory to be written."""


@dataclass(frozen=True, eq=False)
class Store:
    """Cut-out people, ready to be augmented.

    Attributes
    ----------
    crops : (N, 3, STORE_SIDE, STORE_SIDE) uint8, RGB
        Memory-mapped from disk; what is written to it stays in memory.
    joints : (N, K, 2) float32
        x, y in pixels of the stored square.
    weights : (N, K) float32
        Weight of each joint in the loss; 0 where nobody knows it.
    people : People
        Whom the rows show, in pixels of their pictures.
    """

    crops: np.memmap[tuple[int, ...], np.dtype[np.uint8]]
    joints: NDArray[np.float32]
    weights: NDArray[np.float32]
    people: People

    def __len__(self) -> int:
        return len(self.people)


def open_store(
    people: People,
    pictures: Path,
    cache: Path,
    teacher_weight: float,
    disputed: tuple[str, ...],
) -> Store:
    """Cut the people out of their pictures, or map what an earlier run cut.

    Parameters
    ----------
    people : People
    pictures : Path
        Folder that the names in `people` are relative to.
    cache : Path
        Folder for the memory map. Its name carries a hash of the people; beside it stands one of
        the pictures' files, and when one of these has changed or come all are cut anew.
    teacher_weight, disputed
        See `training.trust.trusted_joints`.

    Raises
    ------
    RtposeError
        If no picture at all can be used, or the disk has no room for the map. Single pictures that
        are missing, broken or of another size than their labels say are left out; their names
        stand in ``<map>.json``.
    """
    key = hashlib.sha256()
    key.update(json.dumps([people.pictures, STORE_SIDE, STORE_MARGIN]).encode())
    key.update(people.boxes.tobytes())
    if people.sizes is not None:
        key.update(people.sizes.tobytes())
    path = cache / f"crops-{key.hexdigest()[:16]}.npy"
    files = _files_hash(people, pictures)
    if not _is_cut(path, files):
        _cut(people, pictures, path, files)
    bad = _about(path)["left_out"]
    if bad:
        names = sorted({people.pictures[row] for row in bad})
        log.warning(
            "%d pictures missing, broken or not those labelled, left out, e.g. %s; all named in %s",
            len(names), names[0], path.with_suffix(".json"),
        )  # fmt: skip
    people = people.take(np.delete(np.arange(len(people)), bad))
    crops = np.load(path, mmap_mode="c")
    squares = crop_squares(people.boxes, STORE_MARGIN)
    joints, weights = trusted_joints(people, teacher_weight, disputed)
    in_square = to_crops(joints, squares, STORE_SIDE)
    inside = ((in_square > -0.5) & (in_square < STORE_SIDE - 0.5)).all(axis=-1)
    return Store(crops, in_square, weights * inside, people)


def _files_hash(people: People, pictures: Path) -> str:
    """What changes with the pictures' files: where they are, how long, and when they were made."""
    key = hashlib.sha256(str(pictures.resolve()).encode())
    for name in dict.fromkeys(people.pictures):
        try:
            found = (pictures / name).stat()
        except OSError:
            key.update(b"missing")
        else:
            key.update(f"{found.st_size} {found.st_mtime_ns};".encode())
    return key.hexdigest()[:16]


def _is_cut(path: Path, files: str) -> bool:
    return path.exists() and _about(path)["files"] == files


def _about(path: Path) -> dict[str, Any]:
    """What stands beside a map: the hash of its files, rows that are left out, and their names."""
    try:
        about = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        about = None
    return about if isinstance(about, dict) else {"files": "", "left_out": []}


def _read(people: People, row: int, pictures: Path) -> Image | None:
    """A person's picture; None where it is missing, broken or not the one that was labelled."""
    image = read_picture(pictures / people.pictures[row])
    if image is None or people.labelled_size(row) not in (None, image.shape[1::-1]):
        return None
    return image


def _cut(people: People, pictures: Path, path: Path, files: str) -> None:
    squares = crop_squares(people.boxes, STORE_MARGIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # its rows would not be those that the new list says
    shape = (len(people), 3, STORE_SIDE, STORE_SIDE)
    # a map that grows beyond the disk's end does not fail, it kills
    needed, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if needed > free:
        raise RtposeError(
            f"{path.parent}: {len(people)} cut-out people take {needed / 1e9:.1f} GB, and the disk "
            f"has {free / 1e9:.1f} free: free some, or choose another --run"
        )

    def cut_picture(rows: list[int]) -> NDArray[np.uint8] | None:
        image = _read(people, rows[0], pictures)
        return None if image is None else cut_crops(image, squares[rows], STORE_SIDE)

    partial = partial_path(path)
    # rows are written one after the other, without gaps for people whose picture cannot be read
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    try:
        bad: list[int] = []
        row = 0
        # neighbours are of the same picture, which is read once
        each = [list(same) for _, same in groupby(range(len(people)), people.pictures.__getitem__)]
        with ThreadPoolExecutor(_THREADS) as pool:
            for some in track(range(0, len(each), _AT_ONCE), "cutting out people"):
                those = each[some : some + _AT_ONCE]
                for rows, crops in zip(those, pool.map(cut_picture, those), strict=True):
                    if crops is None:
                        bad += rows
                        continue
                    out[row : row + len(crops)] = crops
                    row += len(crops)
        names = sorted({people.pictures[i] for i in bad})
        if not row:
            raise RtposeError(
                f"{pictures}: none of {len(names)} pictures can be used, e.g. {names[0]}"
            )
        out.flush()
        if not _is_cut(path, files):  # by another run meanwhile
            about = {"files": files, "left_out": bad, "names": names}
            write_whole(path.with_suffix(".json"), json.dumps(about).encode())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
