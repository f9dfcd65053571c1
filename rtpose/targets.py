"""Names of files that are to be written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rtpose.errors import RtposeError


def partial_path(path: Path) -> Path:
    """Hidden name in the same folder for what becomes `path` when it is complete."""
    # The process number keeps two runs to the same name from writing into one file; in a
    # container it may be that of a run which was killed, whose file is not to be written over.
    # A long name is cut, file systems end at 255 bytes; so are bytes that are no UTF-8, as in names
    # from old archives.
    stem = os.fsencode(path.stem)[:200].decode(errors="ignore")
    return unused(path.with_name(f".{stem}.partial-{os.getpid()}{path.suffix}"))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file at once or not at all; one that exists is replaced.

    Raises
    ------
    OSError
        If the file system refuses; nothing is left behind.
    """
    partial = partial_path(path)
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def settle(partial: Path, path: Path, overwrite: bool) -> Path:
    """Give what is complete its name, or the next free one; say which.

    The next one if somebody else has written to `path` meanwhile, and it may not be overwritten.

    Raises
    ------
    OSError
        If the file system refuses.
    """
    final = path if overwrite else unused(path)
    partial.replace(final)
    return final


def unused(path: Path) -> Path:
    """The path, or the first of its like with a number that is no file yet: a.png, a-2.png."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def check_target(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Refuse a name that cannot or must not be written to.

    Raises
    ------
    RtposeError
        If the folder is missing or takes no files, the name is a folder's, the file exists and may
        not be overwritten, or it is the source itself.
    """
    if not path.parent.is_dir():
        raise RtposeError(f"{path.parent}: no such folder to write {path.name} into; make it first")
    if path.is_dir():
        raise RtposeError(f"{path} is a folder; name a file")
    _check_writable(path)
    if not path.exists():
        return
    if source is not None and source.exists() and path.samefile(source):
        raise RtposeError(f"{path} is the input itself; choose another name for the output")
    if not overwrite:
        raise RtposeError(f"{path} exists; choose another name or add --overwrite")


def _check_writable(path: Path) -> None:
    # only trying tells: a folder may be of another user, read-only, or of a system's own kind
    probe = partial_path(path)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RtposeError(f"{path} cannot be written ({error.strerror})") from error


def check_apart(targets: Sequence[Path], sources: Sequence[Path]) -> None:
    """Refuse names of which one would be written over another, or over an input.

    Raises
    ------
    RtposeError
        If two are the same, or one is that of an input.
    """
    # some file systems take large and small letters for the same
    names = [str(target).casefold() for target in targets]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        target = targets[names.index(name)]
        raise RtposeError(f"{count} of the inputs would be written as {target}; run them apart")
    there = {(p.stat().st_dev, p.stat().st_ino) for p in sources if p.exists()}
    for path in targets:
        if path.exists() and (path.stat().st_dev, path.stat().st_ino) in there:
            raise RtposeError(
                f"{path} is an input itself; leave it out, or choose another folder with --out"
            )
