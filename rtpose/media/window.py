"""The live picture in a window of the desktop, through OpenCV; keys come back as actions."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2

from rtpose.errors import RtposeError
from rtpose.media.hud import draw_hud
from rtpose.media.view import Action, Hud
from rtpose.pose import FrameResult

KEYS = {
    "q": Action.QUIT,
    "\x1b": Action.QUIT,
    " ": Action.PAUSE,
    "m": Action.MIRROR,
    "r": Action.RECORD,
    "s": Action.SNAPSHOT,
    "h": Action.HELP,
}
"""Key to what it asks for; capitals too. The second is the escape key."""


def why_no_window() -> str | None:
    """Say why a window cannot be opened here, None if it can.

    To be asked before any window is: OpenCV's Qt and GTK abort the whole process if they cannot
    reach the display.
    """
    gui = re.search(r"GUI:\s*(\S+)", cv2.getBuildInformation())
    if gui is None or gui[1] == "NONE":
        return "this OpenCV is built without windows; pip install opencv-python"
    if not sys.platform.startswith("linux"):
        return None
    display = os.environ.get("DISPLAY", "")
    # OpenCV's wheels speak X11 only; Wayland desktops have that too, under the same variable
    if not display:
        return "no display here (DISPLAY is not set)"
    if not _answers(display):
        return f"the display {display} does not answer"
    return None


def _answers(display: str) -> bool:
    """Whether an X server listens where DISPLAY says: [host]:number[.screen]."""
    found = re.fullmatch(r"(?:unix|(?P<host>[^:]*?))?:(?P<number>\d+)(?:\.\d+)?", display)
    if found is None:
        return False
    number, host = int(found["number"]), found["host"]
    try:
        if host:
            with closing(socket.create_connection((host, 6000 + number), timeout=2)):
                return True
        path = Path(f"/tmp/.X11-unix/X{number}")
        # the second is the same without a file, which Linux's servers listen at too
        for address in (str(path), f"\0{path}"):
            with closing(socket.socket(socket.AF_UNIX)) as server:
                server.settimeout(2)
                if server.connect_ex(address) == 0:
                    return True
    except OSError:
        pass
    return False


class WindowView:
    """A window; see `rtpose.media.view.View`. To be used by the main thread.

    Parameters
    ----------
    title : str

    Raises
    ------
    RtposeError
        If there is no display.
    """

    def __init__(self, title: str = "rtpose") -> None:
        why = why_no_window()
        if why is not None:
            raise RtposeError(f"no window: {why}; use --view browser")
        self._title = title
        self._help = False
        self._open = False
        self._asked: list[Action] = []

    def show(self, result: FrameResult, hud: Hud) -> None:
        """See `rtpose.media.view.View`."""
        image = result.frame.image.copy()
        draw_hud(image, hud, with_help=self._help)
        if not self._open:
            # resizable, the picture keeps its proportions, no toolbar of Qt's
            flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
            cv2.namedWindow(self._title, flags)
            cv2.resizeWindow(self._title, image.shape[1], image.shape[0])
            self._open = True
        cv2.imshow(self._title, image)
        self._poll()  # the window paints itself only when asked for keys

    def actions(self) -> Sequence[Action]:
        """See `rtpose.media.view.View`; closing the window quits."""
        if self._open:
            self._poll()
        asked, self._asked = self._asked, []
        return asked

    def close(self) -> None:
        """See `rtpose.media.view.View`."""
        if self._open:
            self._open = False
            cv2.destroyWindow(self._title)

    def _poll(self) -> None:
        while (key := cv2.pollKey()) != -1:
            action = KEYS.get(chr(key & 0xFF).lower())
            if action is Action.HELP:
                self._help = not self._help
            elif action is not None:
                self._asked.append(action)
        if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            self._asked.append(Action.QUIT)
