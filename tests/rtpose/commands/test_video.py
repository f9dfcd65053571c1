"""`rtpose video` as a user types it, on streams; on files it is tested in test_cli.py."""

import threading
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ..conftest import Rtpose


@pytest.fixture
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be loaded, and nobody be found."""
    setup = SimpleNamespace(
        engine="none",
        estimator=SimpleNamespace(reason="a test", skeleton=None),
        new_follower=lambda: SimpleNamespace(look=None, place=None),
    )
    monkeypatch.setattr("rtpose.commands.setup.set_up", lambda *_: setup)


def test_ctrl_c_ends_the_reading_of_a_stream(
    mjpeg: Callable[..., Any],
    rtpose: Rtpose,
    no_networks: None,
    monkeypatch: pytest.MonkeyPatch,
):
    """Also where no picture reaches the stages, which look at the event themselves."""
    read = []

    def stopped(frames: Iterable[Any], *_: object, stop: threading.Event) -> Iterator[None]:
        stop.set()
        read.extend(frames)
        yield from ()

    monkeypatch.setattr("rtpose.stream.every_frame", stopped)
    server = mjpeg()
    server.acts = [server.steady(count=200, rate=200)]
    done = rtpose("video", server.url)
    assert done.code == 130
    assert "stopped before the first frame" in done.errors
    assert "videos are left" not in done.errors
    assert len(read) < 100


def test_ctrl_c_in_one_leaves_those_after_it(
    mjpeg: Callable[..., Any],
    rtpose: Rtpose,
    no_networks: None,
    monkeypatch: pytest.MonkeyPatch,
):
    """And none of them is opened."""

    def stopped(*_: object, stop: threading.Event) -> Iterator[None]:
        stop.set()
        yield from ()

    monkeypatch.setattr("rtpose.stream.every_frame", stopped)
    server = mjpeg()
    server.acts = [server.steady(count=200, rate=200)]
    done = rtpose("video", server.url, f"{server.url}2", f"{server.url}3")
    assert done.code == 130
    assert "3 of 3 videos are left" in done.errors
    assert server.connections == 1
