"""Files that hold one picture."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from PIL import ImageCms, ImageOps

from rtpose.errors import RtposeError
from rtpose.pose import Image
from rtpose.targets import write_whole

_QUALITY = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 90]}
"""OpenCV's own choice for WebP is lossless, which takes five times the bytes and three the time."""

_HEIF = b"ftyp"
"""From the fifth byte on, in files built of boxes as ISO/IEC 14496-12 describes them."""


def read_picture(path: Path) -> Image | None:
    """A picture as (H, W, 3) uint8 BGR, upright; None where it is missing, broken or cut short."""
    try:
        data = path.read_bytes()
        # OpenCV goes first: asked about what is no picture, a Pillow that ultralytics has patched
        # tries to import pi_heif
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            return _read_heif(data) if data[4:8] == _HEIF else None
        profile = _read_to_the_end(data)
        if data[4:8] == _HEIF:
            image = _read_avif(data)
    except (OSError, SyntaxError, ValueError):
        return None
    except (cv2.error, PIL.Image.DecompressionBombError):  # of sizes beyond their limits
        return None
    return _to_srgb(image.astype(np.uint8, copy=False), profile)


def _read_heif(data: bytes) -> Image:
    """An iPhone's photograph, upright as its file says; raises ValueError where it is broken."""
    import pillow_heif  # not needed by most who read pictures

    try:
        picture = pillow_heif.open_heif(data).to_pillow()
        rgb = picture.convert("RGB")
    except Exception as error:  # it raises half a dozen types for a damaged file
        raise ValueError(f"not readable as HEIF: {error}") from error
    image = np.ascontiguousarray(np.asarray(rgb, np.uint8)[..., ::-1])
    return _to_srgb(image, picture.info.get("icc_profile"))


def _read_avif(data: bytes) -> Image:
    """A picture in AV1, upright as its file says, which OpenCV does not ask."""
    with PIL.Image.open(io.BytesIO(data)) as picture:
        rgb = ImageOps.exif_transpose(picture).convert("RGB")
    return np.ascontiguousarray(np.asarray(rgb, np.uint8)[..., ::-1])


def _to_srgb(image: Image, profile: bytes | None) -> Image:
    """Colours as sRGB has them, which is what pictures without a profile are taken for.

    Phones take pictures in wider spaces (Display P3); what is written here says nothing of those,
    and would look pale.
    """
    if not profile:
        return image
    try:
        theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if theirs.profile.xcolor_space.strip() != "RGB":  # of grey ones, which OpenCV makes BGR of
            return image
        if "sRGB" in ImageCms.getProfileDescription(theirs):
            return image
        ours = ImageCms.createProfile("sRGB")
        change = ImageCms.buildTransform(theirs, ours, "RGB", "RGB")
    except (OSError, ImageCms.PyCMSError):  # a damaged profile damages no picture
        return image
    rgb = PIL.Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
    changed = np.asarray(ImageCms.applyTransform(rgb, change), np.uint8)
    return np.ascontiguousarray(changed[..., ::-1])


def _read_to_the_end(data: bytes) -> bytes | None:
    """The picture's colour profile; raises what Pillow does where the end is missing.

    OpenCV fills that up with grey, and says so to nobody. At an eighth of the size, which JPEG
    has for little, Pillow finds it out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        try:
            with PIL.Image.open(io.BytesIO(data)) as picture:
                picture.draft("RGB", (max(picture.width // 8, 1), max(picture.height // 8, 1)))
                picture.load()
                profile: bytes | None = picture.info.get("icc_profile")
                return profile
        except PIL.Image.DecompressionBombError:
            return None  # so large that Pillow will not look; OpenCV had no objection


def write_picture(path: Path, image: Image) -> None:
    """Write a picture in the format of its name; one that exists is replaced.

    Parameters
    ----------
    path : Path
        Ends in one of the formats that OpenCV writes.
    image : (H, W, 3) uint8, BGR

    Raises
    ------
    RtposeError
        If it cannot be written, or is larger than its format can be.
    """
    whole, data = cv2.imencode(path.suffix, image, _QUALITY.get(path.suffix.lower(), []))
    if not whole:
        height, width = image.shape[:2]
        raise RtposeError(f"{path}: {width}x{height} is too large for {path.suffix}; use .png")
    try:
        write_whole(path, data.tobytes())
    except OSError as error:
        raise RtposeError(f"{path} cannot be written ({error.strerror})") from error
