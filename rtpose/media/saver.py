"""What keeps the joints, chosen by the file's name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from rtpose.errors import RtposeError
from rtpose.media.jsonl import JsonlWriter
from rtpose.media.table import CsvWriter, ParquetWriter
from rtpose.pose import FrameResult
from rtpose.skeleton import Skeleton
from rtpose.targets import check_target


class Saver(Protocol):
    """Takes the people of frames in order."""

    def write(self, result: FrameResult) -> None:
        """Add a frame.

        Raises
        ------
        RtposeError
            If the file can no longer be written: a full disk.
        """

    def close(self) -> None:
        """Finish the file.

        Raises
        ------
        RtposeError
            If it cannot be finished.
        """


_WRITERS: dict[str, Callable[[Path, Skeleton, bool], Saver]] = {
    ".jsonl": JsonlWriter,
    ".csv": CsvWriter,
    ".parquet": ParquetWriter,
}


def check_saver(path: Path, overwrite: bool) -> None:
    """Find fault with a file for joints before anything slow begins.

    Raises
    ------
    RtposeError
        If its suffix is unknown, what writes it is not installed, its folder is missing, or it
        exists and may not be overwritten.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise RtposeError(f"{path}: a file of joints must end in {', '.join(_WRITERS)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise RtposeError(f"{path}: needs pyarrow; run: pip install 'rtpose[parquet]'")
    check_target(path, overwrite)


def open_saver(path: Path, skeleton: Skeleton, overwrite: bool) -> AbstractContextManager[Saver]:
    """Begin a file of joints; leaving the ``with`` block finishes it, for whatever reason.

    Parameters
    ----------
    path : Path
        Its suffix says what it is: .jsonl, .csv or .parquet.
    skeleton : Skeleton
        Names of the joints, in the order of the poses' arrays.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    RtposeError
        As `check_saver`, or if the file cannot be written.
    """
    check_saver(path, overwrite)
    return closing(_WRITERS[path.suffix.lower()](path, skeleton, overwrite))
