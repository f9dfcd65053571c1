"""What commands share at the terminal: counts, Ctrl-C while a source is being opened."""

import io
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from rtpose.commands.terminal import console, counted, ctrl_c_afterwards, frame_progress

from ..conftest import Rtpose

pytestmark = pytest.mark.usefixtures("threads_gone")

COMMANDS = [["webcam", "--view", "none", "--camera"], ["video"]]


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be loaded, which `video` does before it opens an address."""
    monkeypatch.setattr("rtpose.commands.setup.set_up", lambda *_: None)


def test_one_is_a_person_and_more_are_people():
    words = [counted(n, "person", "people") for n in (0, 1, 2)]
    assert words == ["0 people", "1 person", "2 people"]


def test_a_message_is_one_line_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(console, "_width", 20)
    console.print("squats.pose.mp4: 65 frames, 1 person, 30.1 fps")
    assert capfd.readouterr().err == "squats.pose.mp4: 65 frames, 1 person, 30.1 fps\n"


def test_beside_a_long_name_it_is_seen_how_far_it_has_come():
    progress = frame_progress()
    progress.add_task("2026-11-28 patient 13, squats from the left, 240 fps.mp4", total=100_000)
    progress.advance(progress.task_ids[0], 12_345)
    narrow = Console(file=io.StringIO(), width=80)
    with narrow.capture() as shown:
        narrow.print(progress.get_renderable())
    assert "2026-11-28 patient" in shown.get() and "12345/100000 frames" in shown.get()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_an_address_that_never_answers_does_not_swallow_ctrl_c(
    words: list[str],
    number: signal.Signals,
    rtpose: Rtpose,
    no_networks: None,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("rtpose.media.urls.OPEN_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def press() -> None:
            with server.accept()[0] as caller:
                os.kill(os.getpid(), number)
                caller.recv(1 << 16)  # its request
                caller.recv(1)  # until it hangs up

        presser = threading.Thread(target=press)
        presser.start()
        done = rtpose(*words, f"http://127.0.0.1:{server.getsockname()[1]}/x")
        presser.join()
    assert done.code == 130
    assert "timed out" not in done.errors and "Traceback" not in done.errors


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_an_address_that_answers_late_does_not_swallow_ctrl_c(
    words: list[str], rtpose: Rtpose, no_networks: None, mjpeg: Callable[..., Any], tmp_path: Any
):
    server = mjpeg()
    steady = server.steady()

    def press(send: Callable[[Any], None]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        steady(send)

    server.acts = [press]
    done = rtpose(*words, server.url)
    assert done.code == 130 and "Traceback" not in done.errors
    assert list(tmp_path.iterdir()) == []


def test_without_ctrl_c_a_block_ends_as_it_does():
    with ctrl_c_afterwards():
        pass
    with pytest.raises(OSError, match="as it is"), ctrl_c_afterwards():
        raise OSError("as it is")


def test_ctrl_c_comes_after_the_block_and_then_means_what_it_meant():
    before = signal.getsignal(signal.SIGINT)
    passed = False
    with pytest.raises(KeyboardInterrupt), ctrl_c_afterwards():
        signal.raise_signal(signal.SIGINT)
        passed = True
        raise OSError("timed out")
    assert passed
    assert signal.getsignal(signal.SIGINT) is before
