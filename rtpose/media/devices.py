"""Cameras of this machine, through OpenCV: which there are, opening one, and why it cannot be."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from rtpose.errors import RtposeError
from rtpose.host import system_text

_NODES = Path("/sys/class/video4linux")
"""Where Linux describes its cameras."""

_PLAIN_PIXELS = 640 * 480
"""Largest picture that a camera's USB line carries raw at full rate; more comes as JPEG."""


def open_device(
    device: int | str, size: tuple[int, int] | None = None, fps: float | None = None
) -> cv2.VideoCapture:
    """Open a camera and ask it for a size and a rate.

    What it gives may be something else: look at the pictures.

    Parameters
    ----------
    device : int or str
        Number, or a path such as /dev/video2 or /dev/v4l/by-id/...
    size : (int, int), optional
        Width and height; else the camera's own choice.
    fps : float, optional
        Else the camera's own choice.

    Raises
    ------
    RtposeError
        If there is no such camera (those found are listed), it may not be opened, or it is there
        but cannot be opened: in use.
    """
    linux = sys.platform.startswith("linux")
    if linux:
        path = Path(device if isinstance(device, str) else f"/dev/video{device}")
        _check_node(path, device)
        number = path.resolve().name.removeprefix("video")
        target, backend = (int(number) if number.isdigit() else str(path)), cv2.CAP_V4L2
    else:
        target, backend = device, cv2.CAP_ANY
    with _quiet():
        capture = cv2.VideoCapture(target, backend)
        if not capture.isOpened():
            capture.release()
            # elsewhere the system does not tell one from the other
            raise RtposeError(in_use(device) if linux else _missing(device))
        if size is not None:
            if size[0] * size[1] > _PLAIN_PIXELS:
                capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps is not None:
            capture.set(cv2.CAP_PROP_FPS, fps)
        # a frame that waits in the driver is an old one; but with a single buffer the camera has
        # none to fill while the last picture is decoded, and misses every second one
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 2)
    return capture


def in_use(device: int | str) -> str:
    """What to say about a camera that is there and gives nothing."""
    return (
        f"camera {device} is there but gives no pictures; "
        "close the program that uses it, or unplug it and plug it in again"
    )


def list_devices() -> list[str]:
    """Numbers of the cameras of this machine, with their names where the system tells them."""
    if sys.platform.startswith("linux"):
        found = []
        for node in sorted(_NODES.glob("video*")):
            # one camera has several nodes; those after the first carry no pictures
            if system_text(node / "index") in ("", "0"):
                found.append(f"{node.name.removeprefix('video')} ({system_text(node / 'name')})")
        return found
    with _quiet():
        return [str(number) for number in range(4) if _opens(number)]


def _check_node(path: Path, device: int | str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except FileNotFoundError as error:
        raise RtposeError(_missing(device)) from error
    except PermissionError as error:
        raise RtposeError(
            f"camera {device}: permission refused; run: sudo usermod -aG video $USER, "
            "then log in again"
        ) from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise RtposeError(in_use(device)) from error
        raise RtposeError(_missing(device)) from error


def _missing(device: int | str) -> str:
    found = ", ".join(list_devices())
    if not found:
        found = "none; plug one in, or give --camera an address (rtsp://, http://) or a file"
    return f"no camera {device} here; found: {found}"


def _opens(number: int) -> bool:
    capture = cv2.VideoCapture(number)
    opened = capture.isOpened()
    capture.release()
    return opened


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV from printing what we say in one line."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
