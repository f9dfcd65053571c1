"""The live picture in a window of the desktop, through OpenCV; keys come back as actions."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2

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

# without a traceback, what goes wrong is one line
_TRY = (
    "import sys; sys.tracebacklimit = 0; "
    "import cv2; cv2.namedWindow('rtpose'); cv2.destroyAllWindows()"
)
_TRY_S = 10.0


def why_no_window() -> str | None:
    """Say why a window cannot be opened here, None if it can.

    To be asked before any window is: OpenCV's Qt aborts the whole process if it cannot open one.
    On Linux a small window comes and goes.
    """
    gui = re.search(r"GUI:\s*(\S+)", cv2.getBuildInformation())
    if gui is None or gui[1] == "NONE":
        return "this OpenCV is built without windows; pip install opencv-python"
    if not sys.platform.startswith("linux"):
        return None
    # OpenCV's wheels speak X11 only, which Wayland desktops have too; other builds may do without
    display = os.environ.get("DISPLAY", "")
    wayland = os.environ.get("WAYLAND_DISPLAY", "")
    if not display and not wayland:
        return "no display here (DISPLAY is not set)"
    if display and not _answers(display):
        return f"the display {display} does not answer"
    return _try_window(display or wayland)


def _try_window(display: str) -> str | None:
    """Open a window in a process of its own; say why that failed, None if it did not.

    Nothing less tells: the display may want a cookie that only another user has, or an ``ssh -X``
    that has expired still listens.
    """
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRY], timeout=_TRY_S, check=False, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"the display {display} does not answer"
    if tried.returncode == 0:
        return None
    # the first line is the display's own word, or Qt's; Qt's advice to reinstall comes after it
    said = tried.stderr.split("\n")
    why = next(filter(None, map(str.strip, said)), f"exit status {tried.returncode}")
    return f"OpenCV cannot open one on the display {display} ({why})"


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


_TITLE = "rtpose"


class WindowView:
    """A window, where `why_no_window` has no objection; see `rtpose.media.view.View`.

    To be used by the main thread.
    """

    def __init__(self) -> None:
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
            cv2.namedWindow(_TITLE, flags)
            cv2.resizeWindow(_TITLE, image.shape[1], image.shape[0])
            self._open = True
        cv2.imshow(_TITLE, image)
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
            cv2.destroyWindow(_TITLE)

    def _poll(self) -> None:
        while (key := cv2.pollKey()) != -1:
            # Arrows and the like are 0xFF51 and so on, whose low byte is a letter's. GTK tells
            # above them which of shift, num lock and others are on.
            if key & 0xFF00:
                continue
            action = KEYS.get(chr(key & 0xFF).lower())
            if action is Action.HELP:
                self._help = not self._help
            elif action is not None:
                self._asked.append(action)
        if cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self._asked.append(Action.QUIT)
