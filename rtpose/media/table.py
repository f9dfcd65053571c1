"""Where joints go: a table with a row for each person in each frame, as CSV or Parquet.

The columns are ``source``, ``frame``, ``time_s``, ``unix_s``, ``id``, ``score``, the box
``x0, y0, x1, y1``, and for each joint of the skeleton ``NAME_x``, ``NAME_y``, ``NAME_score``; units
and rounding as in `rtpose.media.jsonl`. ``unix_s`` is empty for files, ``id`` before tracking. A
frame with nobody in it has no row.
"""

from __future__ import annotations

import contextlib
import csv
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtpose.errors import RtposeError
from rtpose.media.lines import LineFile
from rtpose.pose import FrameResult
from rtpose.skeleton import Skeleton
from rtpose.targets import partial_path, settle

log = logging.getLogger(__name__)

Row = list[str | int | float | None]

_ROWS_AT_ONCE = 5_000
"""Rows held back, so that each column's next part is long enough to be packed well."""


def columns(skeleton: Skeleton) -> list[str]:
    """Names of the columns."""
    parts = [f"{name}_{part}" for name in skeleton.joints for part in ("x", "y", "score")]
    return ["source", "frame", "time_s", "unix_s", "id", "score", "x0", "y0", "x1", "y1", *parts]


def rows(result: FrameResult, skeleton: Skeleton) -> list[Row]:
    """A row for each person of a frame.

    Raises
    ------
    ValueError
        If a pose has another number of joints than the skeleton, or a number is not finite.
    """
    frame = result.frame
    table: list[Row] = []
    for pose in result.poses:
        if pose.joints.shape != (len(skeleton), 3):
            raise ValueError(f"joints are {pose.joints.shape}, skeleton has {len(skeleton)}")
        values = [pose.score, *pose.box.tolist(), *pose.joints.ravel().tolist()]
        if not np.isfinite([frame.time_s, *values]).all():
            raise ValueError(f"frame {frame.index}: not a number, or infinite")
        digits = [4, 2, 2, 2, 2, *(2, 2, 4) * len(skeleton)]
        rounded = [round(float(v), n) for v, n in zip(values, digits, strict=True)]
        unix_s = None if frame.unix_s is None else round(frame.unix_s, 6)
        when: Row = [frame.index, round(frame.time_s, 6), unix_s]
        table.append([frame.source, *when, pose.id, *rounded])
    return table


class CsvWriter:
    """Comma-separated values with a header, each row complete when it is written.

    Parameters
    ----------
    path : Path
    skeleton : Skeleton
        Names of the joints, in the order of the poses' arrays.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    RtposeError
        If the file cannot be written, or exists and may not be overwritten.
    """

    def __init__(self, path: Path, skeleton: Skeleton, overwrite: bool = False) -> None:
        self._skeleton = skeleton
        self._file = LineFile(path, overwrite)
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(columns(skeleton))

    def write(self, result: FrameResult) -> None:
        """Write one frame's rows.

        Raises
        ------
        RtposeError
            If the file can no longer be written: a full disk.
        ValueError
            If a pose has another number of joints than the skeleton, or a number is not finite.
        """
        self._csv.writerows(rows(result, self._skeleton))

    def close(self) -> None:
        """Close the file.

        Raises
        ------
        RtposeError
            If its last lines cannot be written.
        """
        self._file.close()


class ParquetWriter:
    """Apache Parquet: a fraction of the size of text, columns and their types as tables want them.

    Such a file can be read only when it is finished. Until then it stands under a hidden name in
    the same folder; where the program is killed, what is left there is of no use. Recordings of
    days are better kept as .csv or .jsonl.

    Parameters
    ----------
    path : Path
    skeleton : Skeleton
        Names of the joints, in the order of the poses' arrays.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    RtposeError
        If the file cannot be written.
    """

    def __init__(self, path: Path, skeleton: Skeleton, overwrite: bool = False) -> None:
        # an extra, so imported where it is used; `rtpose.media.saver` says what is missing
        from pyarrow import float32, float64, int64, schema, string
        from pyarrow.parquet import ParquetWriter as TableFile

        types = {"source": string(), "frame": int64(), "id": int64()}
        types |= dict.fromkeys(("time_s", "unix_s"), float64())
        self._schema = schema([(name, types.get(name, float32())) for name in columns(skeleton)])
        self._skeleton = skeleton
        self._path = path
        self._overwrite = overwrite
        self._partial = partial_path(path)
        self._rows: list[Row] = []
        try:
            # pyarrow's own files say of a full disk what only programmers read
            self._stream = self._partial.open("wb")
        except OSError as error:
            raise RtposeError(
                f"{path} cannot be written ({error.strerror}); choose another folder"
            ) from error
        self._open = True
        with self._whole_or_nothing():
            self._file = TableFile(self._stream, self._schema, compression="zstd")

    def write(self, result: FrameResult) -> None:
        """Add one frame's rows.

        Raises
        ------
        RtposeError
            If the file can no longer be written: a full disk. Nothing is left of it then.
        ValueError
            If a pose has another number of joints than the skeleton, or a number is not finite.
        """
        self._rows += rows(result, self._skeleton)
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Finish the file and give it its name; nothing if it is closed already.

        Raises
        ------
        RtposeError
            If it cannot be written to its end; nothing is left of it then.
        """
        if not self._open:
            return
        self._flush()
        with self._whole_or_nothing():
            self._file.close()
            self._stream.close()
        self._open = False
        with self._whole_or_nothing():
            final = settle(self._partial, self._path, self._overwrite)
        if final != self._path:
            log.warning("%s came to be meanwhile; the joints are in %s", self._path, final)

    def _flush(self) -> None:
        from pyarrow import Table, array

        if not self._rows:
            return
        parts = zip(*self._rows, strict=True)
        arrays = [array(p, field.type) for p, field in zip(parts, self._schema, strict=True)]
        with self._whole_or_nothing():
            self._file.write_table(Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    @contextlib.contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._open = False
            if hasattr(self, "_file"):
                self._file.is_open = False  # else it tries once more when it is forgotten
            with contextlib.suppress(OSError):  # what it still holds cannot be written
                self._stream.close()
            self._partial.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            raise RtposeError(
                f"{self._path} cannot be written further ({error.strerror}); is the disk full?"
            ) from error
