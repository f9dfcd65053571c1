"""A text file that grows line by line, whole at any time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rtpose.errors import RtposeError


class LineFile:
    """A text file under its final name from the start.

    Every line is complete when it is written, so it stays there whatever happens after.

    Parameters
    ----------
    path : Path
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    RtposeError
        If it cannot be written to, or exists and may not be overwritten.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self.path = path
        self._whole = 0
        try:
            self._file = path.open(
                "w" if overwrite else "x", buffering=1, encoding="utf-8", newline="\n"
            )
        except OSError as error:
            raise RtposeError(
                f"{path} cannot be written ({error.strerror}); choose another folder"
            ) from error

    def write(self, line: str) -> None:
        """Add a line, its end included.

        Raises
        ------
        RtposeError
            If the file can no longer be written: a full disk.
        """
        try:
            self._file.write(line)
            self._whole += len(line.encode())
        except OSError as error:
            # closing would try to write the same line again, and fail again
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):  # half a line might be read as other numbers
                os.truncate(self.path, self._whole)
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file.

        Raises
        ------
        RtposeError
            If its last lines cannot be written.
        """
        if self._file.closed:
            return
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> RtposeError:
        return RtposeError(
            f"{self.path} cannot be written further ({error.strerror}); is the disk full?"
        )
