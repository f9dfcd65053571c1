"""Files that hold one picture."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from rtpose.errors import RtposeError
from rtpose.pose import Image


def read_picture(path: Path) -> Image | None:
    """A picture as (H, W, 3) uint8 BGR; None where it is missing, broken or cut short."""
    try:
        data = path.read_bytes()
        # OpenCV goes first: asked about what is no picture, a Pillow that ultralytics has patched
        # tries to import pi_heif
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            return None
        # OpenCV fills up a picture cut short with grey, and says so to nobody. At an eighth of
        # the size, which JPEG has for little, Pillow finds it out.
        with PIL.Image.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", (picture.width // 8, picture.height // 8))
            picture.load()
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
        return None
    return image.astype(np.uint8, copy=False)


def write_picture(path: Path, image: Image) -> None:
    """Write a picture in the format of its name; one that exists is replaced.

    Raises
    ------
    RtposeError
        If it cannot be written.
    """
    _, data = cv2.imencode(path.suffix, image)
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise RtposeError(f"{path} cannot be written ({error.strerror})") from error
