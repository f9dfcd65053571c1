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
    """Read variables of a MATLAB file (before version 7.3), structs as objects with attributes.

    Raises
    ------
    RtposeError
        If it is missing, damaged, or lacks one of the variables.
    """
    from scipy.io import loadmat

    with _mat_errors(path):
        found = loadmat(path, variable_names=names, struct_as_record=False, squeeze_me=True)
    missing = [name for name in names if name not in found]
    if missing:
        raise RtposeError(f"{path}: holds no {', '.join(missing)}")
    return tuple(np.asarray(found[name]) for name in names)


def mat_shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of a variable of a MATLAB file, () where it has none of that name; quick.

    Raises
    ------
    RtposeError
        If the file is missing or damaged.
    """
    from scipy.io import whosmat

    with _mat_errors(path):
        shapes = {variable: shape for variable, shape, _ in whosmat(path)}
    return tuple(shapes.get(name, ()))


@contextmanager
def _mat_errors(path: Path) -> Iterator[None]:
    from scipy.io.matlab import MatReadError

    try:
        yield
    except FileNotFoundError:
        raise RtposeError(f"{path}: no such file") from None
    # scipy's reader has no error of its own for most kinds of damage
    except (MatReadError, OSError, ValueError, TypeError, NotImplementedError, EOFError) as error:
        raise RtposeError(f"{path}: not readable as a MATLAB file: {error}") from error


def read_hdf5(path: Path, *names: str) -> tuple[NDArray[Any], ...]:
    """Read data sets of an HDF5 file.

    Raises
    ------
    RtposeError
        If it is missing, damaged, or lacks one of them, or h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise RtposeError(f'{path}: needs h5py: pip install "rtpose[training]"') from None

    try:
        with h5py.File(path) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise RtposeError(f"{path}: holds no {', '.join(missing)}")
            return tuple(np.asarray(file[name][:]) for name in names)
    except FileNotFoundError:
        raise RtposeError(f"{path}: no such file") from None
    except OSError as error:
        raise RtposeError(f"{path}: not readable as HDF5: {error}") from error
