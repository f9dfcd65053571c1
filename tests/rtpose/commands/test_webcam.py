"""`rtpose webcam` as a user types it."""

import itertools
import json
import re
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from rtpose.errors import RtposeError
from rtpose.media.sample import write_sample
from rtpose.media.sources import VideoFile
from rtpose.media.view import Action, Hud
from rtpose.pose import FrameResult
from rtpose.skeleton import Skeleton

from ..conftest import Rtpose

pytestmark = pytest.mark.usefixtures("threads_gone")


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    write_sample(path, seconds=1, size=(320, 240))
    return path


@pytest.fixture
def people(mjpeg: Callable[..., Any], clip: Path) -> Any:
    """A camera that shows real people."""
    with VideoFile(clip) as file:
        pictures = [frame.image for frame in file]
    server = mjpeg()
    server.acts = [server.steady(picture=lambda i: pictures[i % len(pictures)])]
    return server


@dataclass
class FakeListener:
    host: str
    port: int

    def close(self) -> None:
        pass


class FakeBrowser:
    """Stands where the browser view does; the person watching quits after some pictures."""

    made: "list[FakeBrowser]" = []  # noqa: RUF012
    patience = 5

    def __init__(self, listener: "FakeListener", *, skeleton: Skeleton) -> None:
        assert len(skeleton) == 21
        self.address = f"http://{listener.host}:{listener.port}/"
        self.shown: list[FrameResult] = []
        self.closed = False
        self.made.append(self)

    def show(self, result: FrameResult, hud: Hud) -> None:
        self.shown.append(result)

    def actions(self) -> Sequence[Action]:
        return [Action.QUIT] if len(self.shown) >= self.patience else []

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeBrowser]]:
    module = types.ModuleType("rtpose.media.browser")
    module.listen = FakeListener  # type: ignore[attr-defined]
    module.BrowserView = FakeBrowser  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rtpose.media.browser", module)
    monkeypatch.setattr(FakeBrowser, "made", [])
    yield FakeBrowser.made


def test_without_a_display_the_browser_is_taken_and_its_address_said(
    people: Any,
    browser: list[FakeBrowser],
    rtpose: Rtpose,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    done = rtpose(
        "webcam", "--camera", f"{people.url}?key=secret", "--port", 4711, "--size", "1280x720",
        "--record", "out.mp4", "--save", "poses.jsonl",
    )  # fmt: skip
    assert done.code == 0, done.errors
    assert "320x240" in done.errors and "1280x720 was asked for" in done.errors
    assert "no window: no display here" in done.errors
    assert "watch at http://127.0.0.1:4711/" in done.errors
    assert "recorded out.mp4" in caplog.text
    found = re.search(r"(\d+) frames shown, nano by openvino", done.errors)
    assert found is not None and int(found[1]) >= 1
    [view] = browser
    assert view.closed and any(result.poses for result in view.shown)
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert len(list(file.decode(video=0))) == int(found[1])
    lines = [json.loads(line) for line in (tmp_path / "poses.jsonl").read_text().splitlines()]
    assert len(lines) == int(found[1])
    assert {line["source"] for line in lines} == {people.url}
    assert any(line["people"] and line["people"][0]["id"] for line in lines)


def test_a_file_ends(clip: Path, rtpose: Rtpose):
    done = rtpose("webcam", "--camera", clip, "--view", "none")
    assert done.code == 0, done.errors
    assert "frames shown" in done.errors


def test_a_stream_as_a_video(mjpeg: Callable[..., Any], clip: Path, rtpose: Rtpose, tmp_path: Path):
    with VideoFile(clip) as file:
        pictures = [frame.image for frame in file]
    server = mjpeg()
    server.acts = [server.steady(count=20, picture=lambda i: pictures[i])]
    done = rtpose("video", server.url)
    assert done.code == 0, done.errors
    assert "live.pose.mp4: 20 frames" in done.errors
    with av.open(str(tmp_path / "live.pose.mp4")) as file:
        assert len(list(file.decode(video=0))) == 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--camera", "97"], "no camera 97 here; found: "),
        (["--camera", "/dev/video97"], "no camera /dev/video97 here; found: "),
        (["--camera", "gone.mp4"], "no such file"),
        (["--camera", "rtsp://127.0.0.1:1/x"], "connection refused"),
        (["--camera", "{clip}", "--view", "window"], "no window: no display here"),
        (["--camera", "{clip}", "--record", "out.avi"], "must end in .mp4"),
        (["--camera", "{clip}", "--record", "taken.mp4"], "--overwrite"),
        (["--camera", "{clip}", "--record", "{clip}", "--overwrite"], "the input itself"),
        (["--camera", "file://{clip}", "--record", "{clip}", "--overwrite"], "the input itself"),
        (["--size", "big"], "size 'big': write width x height"),
        (["--size", "0x480"], "size '0x480'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], message: str, clip: Path, rtpose: Rtpose, tmp_path: Path
):
    (tmp_path / "taken.mp4").write_text("precious")
    done = rtpose("webcam", *(word.format(clip=clip) for word in words))
    errors = [line for line in done.errors.splitlines() if not line.startswith(str(clip))]
    assert done.code == 2
    assert len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0]
    assert [p.name for p in tmp_path.iterdir()] == ["taken.mp4"]


def test_a_lost_camera_that_does_not_return_ends_with_the_recording_kept(
    people: Any,
    rtpose: Rtpose,
    tmp_path: Path,
    quick_return: None,
    caplog: pytest.LogCaptureFixture,
):
    [endless] = people.acts
    limit = time.monotonic()

    def some(send: Callable[..., None]) -> None:
        def send_for_a_while(image: Any) -> None:
            # until the networks are loaded and some pictures are kept
            if (tmp_path / "poses.jsonl").exists() and (
                (tmp_path / "poses.jsonl").stat().st_size > 2000
            ):
                raise ConnectionError
            assert time.monotonic() < limit + 300
            send(image)

        endless(send_for_a_while)

    people.acts = [some, None]
    done = rtpose(
        "webcam", "--camera", people.url, "--view", "none", "--max-wait", "0.5",
        "--record", "out.mp4", "--save", "poses.jsonl",
    )  # fmt: skip
    assert done.code == 2
    assert "is lost: the stream broke off" in caplog.text
    assert "recorded out.mp4" in caplog.text
    assert "not back within 0.5 s" in done.errors.splitlines()[-1]
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert len(list(file.decode(video=0))) >= 1


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_a_service_manager_finish_the_recording(
    people: Any,
    tmp_path: Path,
    signal_number: signal.Signals,
    interrupted: Callable[..., tuple[int, str]],
):
    words = [
        "webcam", "--camera", people.url, "--view", "none",
        "--record", "out.mp4", "--save", "poses.jsonl",
    ]  # fmt: skip
    # the second one is a hurry that must cost nothing
    code, errors = interrupted(words, "poses.jsonl", signal_number, signal_number)
    saved = tmp_path / "poses.jsonl"
    assert code == 130, errors
    assert "recorded out.mp4" in errors and "Traceback" not in errors
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert len(list(file.decode(video=0))) == len(saved.read_text().splitlines())


def test_a_port_in_use_is_said_before_networks_load(
    people: Any, tmp_path: Path, rtpose: Rtpose, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rtpose.commands.setup.set_up", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = rtpose(
            "webcam", "--camera", people.url, "--view", "browser",
            "--port", taken.getsockname()[1], "--save", "poses.jsonl",
        )  # fmt: skip
    assert done.code == 2 and "is in use" in done.errors.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_port_is_free_again_where_networks_cannot_be_loaded(
    people: Any, rtpose: Rtpose, monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def fail(*_: object) -> None:
        with pytest.raises(OSError), socket.create_server(("127.0.0.1", port)):
            pass
        raise RtposeError("no networks")

    monkeypatch.setattr("rtpose.commands.setup.set_up", fail)
    done = rtpose("webcam", "--camera", people.url, "--view", "browser", "--port", port)
    assert done.code == 2 and "no networks" in done.errors
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_who_quits_while_the_camera_hangs_gets_the_usual_exit_code(
    people: Any, interrupted: Callable[..., tuple[int, str]]
):
    """Its thread is still inside the read when the process ends, which must not crash it."""
    (talk,) = people.acts
    silent = threading.Event()

    def falls_silent(send: Callable[[Any], None]) -> None:
        sent = itertools.count()

        def counted(picture: Any) -> None:
            if next(sent) == 60:
                silent.set()
                people.silent(send)
            send(picture)

        talk(counted)

    people.acts = [falls_silent]
    words = ["webcam", "--camera", people.url, "--view", "none", "--save", "poses.jsonl"]

    def until_silent() -> None:
        assert silent.wait(120)

    code, errors = interrupted(words, "poses.jsonl", signal.SIGINT, before=until_silent)
    assert code == 130, errors
    assert "Traceback" not in errors
