import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media import window
from rtpose.media.view import Action, Hud
from rtpose.media.window import WindowView, why_no_window
from rtpose.pose import Frame, FrameResult

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of Linux")

HUD = Hud(29.7, 41.2, 2, "nano by openvino bf16 on cpu", True, True, "camera lost 3 s ago")
RESULT = FrameResult(Frame(np.zeros((240, 320, 3), np.uint8), 0, 0.0), ())


@linux
@pytest.mark.parametrize("display", [None, ":4711", "localhost:4711", "nonsense", "unix:4711.0"])
def test_without_a_display_there_is_a_reason_and_an_error(
    display: str | None, monkeypatch: pytest.MonkeyPatch
):
    if display is None:
        monkeypatch.delenv("DISPLAY", raising=False)
    else:
        monkeypatch.setenv("DISPLAY", display)
    assert "display" in str(why_no_window())
    with pytest.raises(RtposeError, match="--view browser"):
        WindowView()


@linux
def test_a_display_that_listens_is_one(monkeypatch: pytest.MonkeyPatch):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0/tmp/.X11-unix/X4712")
        server.listen()
        monkeypatch.setenv("DISPLAY", ":4712.0")
        assert why_no_window() is None


def test_an_opencv_without_windows_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                   NONE\n")
    assert "opencv-python" in str(why_no_window())


@pytest.fixture
def fake_gui(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """OpenCV's window functions, without a window; what is in "keys" is pressed."""
    state: dict[str, list[int]] = {"keys": [], "visible": [1], "pictures": []}
    monkeypatch.setattr(window, "why_no_window", lambda: None)
    for name in ("namedWindow", "resizeWindow", "destroyWindow"):
        monkeypatch.setattr(cv2, name, lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: state["pictures"].append(image.copy()))
    monkeypatch.setattr(cv2, "pollKey", lambda: state["keys"].pop(0) if state["keys"] else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: state["visible"][0])
    return state


def test_keys_become_actions_also_those_pressed_while_showing(fake_gui: dict[str, list[int]]):
    view = WindowView()
    assert list(view.actions()) == []
    fake_gui["keys"] = [ord("m"), ord("x")]
    view.show(RESULT, HUD)
    fake_gui["keys"] = [ord(" "), ord("R"), ord("s"), 27]
    assert list(view.actions()) == [
        Action.MIRROR, Action.PAUSE, Action.RECORD, Action.SNAPSHOT, Action.QUIT,
    ]  # fmt: skip
    assert list(view.actions()) == []


def test_closing_the_window_quits(fake_gui: dict[str, list[int]]):
    view = WindowView()
    view.show(RESULT, HUD)
    fake_gui["visible"] = [0]
    assert Action.QUIT in view.actions()


def test_the_numbers_are_on_the_shown_picture_only_and_help_on_request(
    fake_gui: dict[str, list[int]],
):
    view = WindowView()
    view.show(RESULT, HUD)
    fake_gui["keys"] = [ord("h")]
    assert list(view.actions()) == []
    view.show(RESULT, HUD)
    plain, helped = (np.asarray(picture) for picture in fake_gui["pictures"])
    assert RESULT.frame.image.max() == 0
    assert plain[:40].any() and not plain[150:].any()
    assert (helped > 0).sum() > 1.3 * (plain > 0).sum()


@pytest.fixture
def x_server() -> Iterator[str]:
    """A display without a screen."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb here to open a real window on")
    read, write = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        os.close(write)
        with os.fdopen(read) as number:
            display = f":{number.readline().strip()}"
        yield display
        server.terminate()


def test_a_real_window_opens_and_closes(x_server: str):
    """In a process of its own: OpenCV aborts the whole process when it cannot open one."""
    code = """
import numpy as np
from rtpose.media.view import Hud
from rtpose.media.window import WindowView
from rtpose.pose import Frame, FrameResult
view = WindowView("test")
image = np.full((240, 320, 3), 200, np.uint8)
hud = Hud(30, 40, 1, "engine", False, False, "")
for i in range(5):
    view.show(FrameResult(Frame(image, i, i / 30), ()), hud)
    assert list(view.actions()) == [], view.actions()
view.close()
view.close()
print("shown")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DISPLAY": x_server, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == "shown", done.stderr
