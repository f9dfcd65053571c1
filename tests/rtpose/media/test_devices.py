import errno
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media import devices, feeds
from rtpose.media.cameras import Camera
from rtpose.media.devices import list_devices
from rtpose.media.feeds import DeviceFeed, Lost, open_feed

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="camera nodes of Linux"
)


class FakeCapture:
    """A camera that knows two sizes, and gives so many pictures."""

    def __init__(self, opens: bool = True, pictures: int = 3) -> None:
        self.opens = opens
        self.left = pictures
        self.values = {
            cv2.CAP_PROP_FRAME_WIDTH: 640.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 480.0,
            cv2.CAP_PROP_FPS: 30.0,
        }
        self.released = False
        self.unreadable: set[int] = set()
        self.reads = 0
        self.takes: Callable[[], object] = lambda: None

    def isOpened(self) -> bool:
        return self.opens

    def set(self, key: int, value: float) -> bool:
        if key == cv2.CAP_PROP_FRAME_WIDTH and value > 640:
            self.values[cv2.CAP_PROP_FRAME_HEIGHT] = 720.0
            value = 1280.0
        if key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS):
            return False
        self.values[key] = value
        return True

    def get(self, key: int) -> float:
        return self.values.get(key, 0.0)

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.reads += 1
        self.takes()
        if not self.left or self.reads in self.unreadable:
            return False, None
        self.left -= 1
        height, width = (self.values[k] for k in (cv2.CAP_PROP_FRAME_HEIGHT,
                                                  cv2.CAP_PROP_FRAME_WIDTH))  # fmt: skip
        return True, np.zeros((int(height), int(width), 3), np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Something at the place of a camera's node."""
    path = tmp_path / "video3"
    path.touch()
    return path


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> FakeCapture:
    fake = FakeCapture()
    opened: list[object] = []

    def open_fake(target: object, backend: int) -> FakeCapture:
        opened.append((target, backend))
        return fake

    monkeypatch.setattr(cv2, "VideoCapture", open_fake)
    fake.opened = opened  # type: ignore[attr-defined]
    return fake


def test_the_nearest_size_is_what_comes(node: Path, capture: FakeCapture):
    feed = DeviceFeed(str(node), (1920, 1080), 60)
    assert capture.opened == [(3, cv2.CAP_V4L2)]  # type: ignore[attr-defined]
    image = feed.read()
    assert image is not None and image.shape == (720, 1280, 3)
    assert feed.rate == 30
    # raw pictures of that size do not fit through the cable
    assert capture.values[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert capture.values[cv2.CAP_PROP_BUFFERSIZE] == 2
    feed.close()
    assert capture.released


def test_without_wishes_the_camera_chooses(node: Path, capture: FakeCapture):
    DeviceFeed(str(node)).close()
    assert cv2.CAP_PROP_FOURCC not in capture.values


def test_an_unplugged_camera_is_lost(node: Path, capture: FakeCapture):
    feed = DeviceFeed(str(node))
    for _ in range(3):
        assert feed.read() is not None
    with pytest.raises(Lost, match="plugged in"):
        feed.read()


def test_a_picture_that_cannot_be_read_is_passed_over(node: Path, capture: FakeCapture):
    capture.unreadable = {1, 3, 4, 6}
    feed = DeviceFeed(str(node))
    for _ in range(3):
        assert feed.read() is not None
    assert capture.reads == 7


def test_a_camera_of_which_nothing_can_be_read_for_a_second_is_lost(
    node: Path, capture: FakeCapture, monkeypatch: pytest.MonkeyPatch
):
    """One that waits for each of its pictures is not asked ten times."""
    now_s = itertools.count(0.0, 0.4)
    clock = [next(now_s)]
    monkeypatch.setattr(feeds, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    capture.takes = lambda: clock.__setitem__(0, next(now_s))
    feed = DeviceFeed(str(node))
    assert feed.read() is not None
    capture.left = 0
    with pytest.raises(Lost, match="plugged in"):
        feed.read()
    assert capture.reads == 1 + 3


def test_a_camera_that_opens_and_gives_nothing_is_in_use(node: Path, capture: FakeCapture):
    capture.left = 0
    with pytest.raises(RtposeError, match="close the program that uses it"):
        DeviceFeed(str(node))
    assert capture.released


def test_a_camera_that_does_not_open_is_in_use(node: Path, capture: FakeCapture):
    capture.opens = False
    with pytest.raises(RtposeError, match="close the program that uses it"):
        DeviceFeed(str(node))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EBUSY, "close the program that uses it"),
        (errno.EACCES, "permission refused.*usermod"),
        (errno.ENODEV, "no camera .* here; found: 0 .HD Webcam., 2 .Desk."),
    ],
)
def test_why_a_node_cannot_be_opened(
    number: int, words: str, node: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(devices, "list_devices", lambda: ["0 (HD Webcam)", "2 (Desk)"])

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RtposeError, match=words):
        DeviceFeed(str(node))


def test_no_camera_is_one_clear_line_and_opencv_is_silent(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(RtposeError, match="no camera 97 here; found: "):
        open_feed("97")
    assert capfd.readouterr() == ("", "")


def test_without_any_camera_it_is_said_what_else_can_be_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "list_devices", list)
    with pytest.raises(RtposeError, match="found: none; plug one in, or give --camera an address"):
        open_feed("97")


def test_what_is_neither_is_said():
    with pytest.raises(RtposeError, match=r"camera gone\.mp4: no such file"):
        open_feed("gone.mp4")


def test_cameras_are_listed_by_their_first_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, index, words in (("video0", "0", "HD Webcam"), ("video1", "1", "HD Webcam")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "index").write_text(index + "\n")
        (folder / "name").write_text(words + "\n")
    monkeypatch.setattr(devices, "_NODES", tmp_path)
    assert list_devices() == ["0 (HD Webcam)"]


def test_a_device_is_a_camera(node: Path, capture: FakeCapture, threads_gone: None):
    """Unplugged after three pictures; it does not come back."""

    def once() -> DeviceFeed:
        if capture.released:
            raise RtposeError("no camera 3 here")
        return DeviceFeed(str(node))

    with Camera(once, "camera 3", max_wait_s=0) as camera:
        assert camera.size == (640, 480) and camera.rate == 30
        with pytest.raises(RtposeError, match=r"camera 3: lost .* not back within 0 s"):
            for _ in camera.frames():
                pass
