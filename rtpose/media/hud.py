"""Numbers and a line of help painted over a live picture."""

from __future__ import annotations

import cv2

from rtpose.media.view import Hud
from rtpose.pose import Image

HELP = (
    "q  quit",
    "space  pause",
    "m  mirror",
    "r  record",
    "s  snapshot",
    "h  this help",
)
"""Keys of a view that has some."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LIGHT, _AMBER, _RED = (240, 240, 240), (0, 200, 255), (60, 60, 255)


def hud_line(hud: Hud) -> str:
    """The numbers in one line."""
    return f"{hud.fps:.0f} fps  {hud.latency_ms:.0f} ms  {hud.people} people  {hud.engine}"


def status_line(hud: Hud) -> str:
    """The numbers and the notice in one line, for a terminal."""
    return f"{hud_line(hud)}  {hud.notice}" if hud.notice else hud_line(hud)


def draw_hud(image: Image, hud: Hud, *, with_help: bool = False) -> None:
    """Write the numbers and the notice onto a picture, in place, and a red dot while recording.

    Parameters
    ----------
    image : (H, W, 3) uint8, BGR
        Contiguous; changed in place.
    hud : Hud
    with_help : bool
        Also list the keys.
    """
    height, width = image.shape[:2]
    scale = max(min(width / 1280, height / 720), 0.45) * 0.7
    step = round(34 * scale)
    lines = [(hud_line(hud), _LIGHT)]
    if hud.paused:
        lines.append(("paused", _AMBER))
    if hud.notice:
        lines.append((hud.notice, _AMBER))
    if with_help:
        lines += [(line, _LIGHT) for line in HELP]
    for row, (text, colour) in enumerate(lines, start=1):
        # OpenCV's letters are ASCII only
        text = text.encode("ascii", "replace").decode()
        for tint, weight in (((20, 20, 20), 4), (colour, 1)):
            cv2.putText(
                image, text, (step // 2, row * step), _FONT, scale, tint, weight, cv2.LINE_AA
            )
    if hud.recording:
        cv2.circle(image, (width - step, step), step // 3, _RED, -1, cv2.LINE_AA)
