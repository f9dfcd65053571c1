import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtpose.media import window
from rtpose.media.view import Action, Hud
from rtpose.media.window import WindowView, why_no_window
from rtpose.pose import Frame, FrameResult

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of Linux")

HUD = Hud(29.7, 41.2, 2, "nano by openvino bf16 on cpu", True, True, "camera lost 3 s ago")
RESULT = FrameResult(Frame(np.zeros((240, 320, 3), np.uint8), 0, 0.0), ())


@linux
@pytest.mark.parametrize("display", [None, ":4711", "localhost:4711", "nonsense", "unix:4711.0"])
def test_without_a_display_there_is_a_reason(display: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if display is None:
        monkeypatch.delenv("DISPLAY", raising=False)
    else:
        monkeypatch.setenv("DISPLAY", display)
    assert "display" in str(why_no_window())


@contextmanager
def xvfb(*options: str) -> Iterator[str]:
    """A real display, without a screen."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb here to open a real window on")
    read, write = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp",
         *options],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        os.close(write)
        try:
            with os.fdopen(read) as number:
                yield f":{number.readline().strip()}"
        finally:
            server.terminate()


@contextmanager
def fake_x_server(number: int, answer: bytes) -> Iterator[None]:
    """A display that gives everybody this answer and then closes."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0/tmp/.X11-unix/X{number}")
        server.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.settimeout(1)
                    try:
                        client.recv(100)
                        client.sendall(answer)
                    except OSError:  # who only looked whether somebody listens has left
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


SORRY = b"No cookie, no window"
REFUSAL = struct.pack("=BBHHH", 0, len(SORRY), 11, 0, len(SORRY) // 4) + SORRY
"""How the X protocol says no: 0, the length of the reason, the version, the length in words."""


@linux
@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"", "could not connect"), (REFUSAL, SORRY.decode())],
    ids=["closes", "refuses"],
)
def test_a_display_that_listens_but_opens_no_window_is_none(
    answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DISPLAY", ":4712.0")
    with fake_x_server(4712, answer):
        why = str(why_no_window())
        assert "display :4712.0" in why and said in why and "\n" not in why


@linux
def test_a_display_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(window, "_TRY_S", 2.0)
    monkeypatch.setenv("DISPLAY", ":4713")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0/tmp/.X11-unix/X4713")
        server.listen()
        assert why_no_window() == "the display :4713 does not answer"


@linux
def test_a_real_display_wants_its_cookie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def field(value: bytes) -> bytes:
        return struct.pack(">H", len(value)) + value

    cookie = tmp_path / "cookie"  # as xauth writes it, for any address and display
    fields = map(field, (b"", b"", b"MIT-MAGIC-COOKIE-1", bytes(range(16))))
    cookie.write_bytes(b"\xff\xff" + b"".join(fields))
    with xvfb("-auth", str(cookie)) as display:
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.setenv("XAUTHORITY", str(tmp_path / "none"))
        assert "uthoriz" in str(why_no_window())
        monkeypatch.setenv("XAUTHORITY", str(cookie))
        assert why_no_window() is None


def test_an_opencv_without_windows_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                   NONE\n")
    assert "opencv-python" in str(why_no_window())


@pytest.fixture
def fake_gui(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """OpenCV's window functions, without a window; what is in "keys" is pressed."""
    state: dict[str, list[int]] = {"keys": [], "visible": [1], "pictures": []}
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


def test_arrows_and_the_like_are_no_letters_and_modifiers_do_not_count(
    fake_gui: dict[str, list[int]],
):
    view = WindowView()
    view.show(RESULT, HUD)
    # left, up, right, home, begin, num lock; up with shift, and with num lock as GTK tells it
    fake_gui["keys"] = [0xFF51, 0xFF52, 0xFF53, 0xFF50, 0xFF58, 0xFF7F, 0x1FF52, 0x10FF52]
    assert list(view.actions()) == []
    fake_gui["keys"] = [0x10 << 16 | ord("m"), 0x1 << 16 | ord("R"), 0x10 << 16 | 27]
    assert list(view.actions()) == [Action.MIRROR, Action.RECORD, Action.QUIT]


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


@linux
def test_a_real_window_opens_and_closes():
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
    with xvfb() as display:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"DISPLAY": display, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == "shown", done.stderr
