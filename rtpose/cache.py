"""What rtpose made once and keeps on disk: converted networks and built engines.

An entry is a folder whose name is a hash of all that its content depends on. It is there whole
or not at all, also with two programs at it, and says in ``entry.json`` what it was made from and
what its files must hash to: what was copied from another machine or is damaged is not used.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import inspect
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import platformdirs
import torch
from torch import nn

from rtpose.errors import first_line

log = logging.getLogger(__name__)

T = TypeVar("T")

LIMITS = {"openvino": 500e6}
"""Bytes that the entries of a kind may take; those unused for longest go.

A picture of another shape is another entry, and a second's work; TensorRT's engines take minutes
to build, and stay.
"""

_ABOUT = "entry.json"
_PARTIAL = ".partial-"
"""How the folders begin in which entries are written."""

_LEFT_BEHIND_S = 24 * 3600
"""Age at which one of these belongs to a program that was killed: writing takes seconds."""

_TRIES = 5


@dataclass(frozen=True)
class Entry:
    """One thing that is kept.

    Attributes
    ----------
    kind : str
        ``openvino`` or ``tensorrt``.
    folder : Path
    key : dict of str to str
        What it was made from; empty if that cannot be read.
    size : int
        Bytes on disk.
    made_s : float
        When, in seconds since 1970.
    """

    kind: str
    folder: Path
    key: dict[str, str]
    size: int
    made_s: float


def cache_folder() -> Path:
    """Where entries lie; a folder for each kind."""
    return Path(platformdirs.user_cache_path("rtpose"))


def network_hash(network: nn.Module) -> str:
    """A name that changes with a network's weights and with the code of rtpose it consists of."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    for source in sorted({inspect.getfile(type(module)) for module in network.modules()}):
        if Path(source).is_relative_to(Path(__file__).parent):
            digest.update(Path(source).read_bytes())
    return digest.hexdigest()[:24]


def read_entry(kind: str, key: Mapping[str, str]) -> dict[str, bytes] | None:
    """The files of what was made from `key`, by name, or None if there are none that can be used.

    Damaged or foreign ones are removed, and said.
    """
    folder = _folder(kind, key)
    # asked before anything is read: an entry that another program finishes only now is whole, and
    # must not be removed for what we did not find of it
    was_there = folder.is_dir()
    about = _about(folder)
    if about is None:
        fault = "damaged"
    elif about[0] != dict(key):
        fault = "not of this machine or network"
    else:
        files = _read(folder, about[1])
        if files is not None:
            _mark_used(folder)
            return files
        fault = "damaged"
    # another program may have removed it meanwhile
    if was_there and folder.is_dir():
        discard(kind, key, fault)
    return None


def read_as(kind: str, key: Mapping[str, str], parse: Callable[[dict[str, bytes]], T]) -> T | None:
    """What `parse` makes of the files that were made from `key`; None as `read_entry`.

    Files that it cannot read, which it says by any of Python's own errors, are damaged.
    """
    kept = read_entry(kind, key)
    if kept is None:
        return None
    try:
        return parse(kept)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        discard(kind, key, f"damaged ({first_line(error)})")
        return None


def discard(kind: str, key: Mapping[str, str], fault: str) -> None:
    """Remove an entry and say why: it will be made again."""
    folder = _folder(kind, key)
    log.warning("%s is %s and made again", folder, fault)
    shutil.rmtree(folder, ignore_errors=True)


def keep(kind: str, key: Mapping[str, str], write: Callable[[Path], object]) -> None:
    """Write an entry; where the disk does not let us, say so and go on.

    Parameters
    ----------
    kind, key
        As for `read_entry`.
    write : callable
        Puts the files into the folder it is given.
    """
    folder = _folder(kind, key)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_PARTIAL) as partial:
            made = Path(partial) / "made"
            made.mkdir()
            write(made)
            files = {path.name: _hash(path.read_bytes()) for path in made.iterdir()}
            about = {"key": dict(key), "files": files}
            (made / _ABOUT).write_text(json.dumps(about, indent=1) + "\n")
            if not folder.exists():
                made.rename(folder)
        _trim(kind)
    except OSError as error:
        _say_not_kept(folder.parent, error.strerror or first_line(error))
    except RuntimeError as error:  # OpenVINO's, where the disk is full
        _say_not_kept(folder.parent, first_line(error))


def entries() -> Iterator[Entry]:
    """All that is kept, by kind and then oldest first."""
    for kind in sorted(p for p in cache_folder().glob("*") if p.is_dir()):
        found = [p for p in kind.iterdir() if p.is_dir() and not p.name.startswith(".")]
        for folder in sorted(found, key=_changed):
            about = _about(folder)
            with contextlib.suppress(FileNotFoundError):  # another program has removed it
                size = sum(path.stat().st_size for path in folder.iterdir())
                made_s = folder.stat().st_mtime
                yield Entry(kind.name, folder, about[0] if about else {}, size, made_s)


def clear() -> list[Entry]:
    """Remove everything, and say what it was."""
    gone = list(entries())
    for kind in cache_folder().glob("*"):
        if kind.is_dir():
            # the folder itself stays: another program may be about to write into it
            for path in kind.iterdir():
                _remove(path)
    return gone


@functools.cache
def _say_not_kept(folder: Path, fault: str) -> None:
    """Once for each fault: a start makes half a dozen things."""
    log.warning("%s: what was made is not kept and made again next time: %s", folder, fault)


def _remove(path: Path) -> None:
    """Remove what is there; what another program removes or puts there meanwhile is no fault.

    Raises
    ------
    OSError
        If the disk does not let us.
    """
    for _ in range(_TRIES):
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        if not path.exists():
            return


def _mark_used(folder: Path) -> None:
    # not touch, which would make the file anew where another program removes the entry
    with contextlib.suppress(OSError):  # a cache that may only be read
        os.utime(folder / _ABOUT)


def _changed(path: Path) -> float:
    """When, in seconds; 0 for what is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _trim(kind: str) -> None:
    """Remove what was not used for longest, until a kind's entries are within its limit.

    What killed programs left half written goes first.
    """
    for partial in (cache_folder() / kind).glob(f"{_PARTIAL}*"):
        if 0 < _changed(partial) < time.time() - _LEFT_BEHIND_S:
            shutil.rmtree(partial, ignore_errors=True)
    if kind not in LIMITS:
        return
    found = [entry for entry in entries() if entry.kind == kind]
    total = sum(entry.size for entry in found)
    for entry in sorted(found, key=lambda e: _changed(e.folder / _ABOUT)):
        if total <= LIMITS[kind]:
            break
        shutil.rmtree(entry.folder, ignore_errors=True)
        total -= entry.size


def _folder(kind: str, key: Mapping[str, str]) -> Path:
    text = json.dumps(dict(key), sort_keys=True)
    return cache_folder() / kind / hashlib.sha256(text.encode()).hexdigest()[:24]


def _read(folder: Path, digests: Mapping[str, str]) -> dict[str, bytes] | None:
    """An entry's files, or None if one of them is gone or another than it was."""
    try:
        files = {name: (folder / name).read_bytes() for name in digests}
    except OSError:
        return None
    return files if all(_hash(files[name]) == digests[name] for name in files) else None


def _about(folder: Path) -> tuple[dict[str, str], dict[str, str]] | None:
    try:
        about = json.loads((folder / _ABOUT).read_text())
        return dict(about["key"]), dict(about["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
