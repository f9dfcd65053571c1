"""Label files off the disk: json, MATLAB and HDF5, with one clear line where one cannot be read."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpose.errors import RtposeError


def read_json(path: Path) -> Any:
    """What a .json or .json.gz file holds.

    Raises
    ------
    RtposeError
        If it is missing, damaged, or not json.
    """
    try:
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except FileNotFoundError:
        raise RtposeError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RtposeError(f"{path}: not readable as json: {error}") from error


def read_mat(path: Path, *names: str) -> tuple[NDArray[Any], ...]:
    """Read arrays of a MATLAB file (before version 7.3).

    Raises
    ------
    RtposeError
        If it is missing, damaged, or lacks one of the variables.
    """
    found = _load_mat(path, names)
    return tuple(np.asarray(found[name]) for name in names)


def read_mat_struct(path: Path, name: str) -> Any:
    """Read a struct of a MATLAB file, its fields as attributes, axes of length 1 left out.

    Raises
    ------
    RtposeError
        As `read_mat`.
    """
    return _load_mat(path, (name,), struct_as_record=False, squeeze_me=True)[name]


def _load_mat(path: Path, names: tuple[str, ...], **options: bool) -> dict[str, Any]:
    from scipy.io import loadmat

    with _readable(path, "a MATLAB file"):
        found: dict[str, Any] = loadmat(path, variable_names=names, **options)
    missing = [name for name in names if name not in found]
    if missing:
        raise RtposeError(f"{path}: holds no {', '.join(missing)}")
    return found


def mat_shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of a variable of a MATLAB file, () where it has none of that name; quick.

    Raises
    ------
    RtposeError
        If the file is missing or damaged.
    """
    from scipy.io import whosmat

    with _readable(path, "a MATLAB file"):
        shapes = {variable: shape for variable, shape, _ in whosmat(path)}
    return tuple(shapes.get(name, ()))


def read_hdf5(path: Path, *names: str) -> tuple[NDArray[Any], ...]:
    """Read data sets of an HDF5 file.

    Raises
    ------
    RtposeError
        If it is missing, damaged, or lacks one of them, or h5py is not installed.
    """
    with _hdf5(path) as file:
        missing = [name for name in names if name not in file]
        if missing:
            raise RtposeError(f"{path}: holds no {', '.join(missing)}")
        return tuple(np.asarray(file[name][:]) for name in names)


def read_arrays(path: Path) -> dict[str, Any]:
    """All variables of a MATLAB file, or all data sets at the top of an HDF5 file, by name.

    Raises
    ------
    RtposeError
        If it is missing or damaged, or h5py is not installed.
    """
    if path.suffix.lower() != ".mat":
        with _hdf5(path) as file:  # groups, which may stand beside data sets, have no shape
            return {k: np.asarray(v) for k, v in file.items() if hasattr(v, "shape")}
    from scipy.io import loadmat

    with _readable(path, "a MATLAB file"):
        return {k: v for k, v in loadmat(path).items() if not k.startswith("__")}


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError:
        raise RtposeError(f"{path}: needs h5py; run: pip install h5py") from None
    with _readable(path, "HDF5"), h5py.File(path) as file:
        yield file


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    if not path.is_file():
        raise RtposeError(f"{path}: no such file")
    try:
        yield
    except RtposeError:
        raise
    except Exception as error:  # the readers raise a dozen types for a damaged file
        raise RtposeError(f"{path}: not readable as {kind}: {error}") from error
