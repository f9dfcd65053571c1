"""Command lines as a user types them, cameras that do as they are told, machines without a GPU."""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from rtpose import gpu
from rtpose.cli import main
from rtpose.gpu import Driver, Gpu

from .rtsp_camera import RtspCamera

Send = Callable[[np.ndarray], None]
Act = Callable[[Send], None] | None


class MjpegServer:
    """Serves one connection after the other: each gets the next act, further ones the last.

    An act sends pictures and returns to close the connection; None refuses with HTTP 503.
    """

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.connections = 0
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                act = server.acts[min(server.connections, len(server.acts) - 1)]
                server.connections += 1
                if act is None:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(ConnectionError, _StoppedError):
                    act(self.send)

            def send(self, image: np.ndarray) -> None:
                if server.stopping.is_set():
                    raise _StoppedError
                data = cv2.imencode(".jpg", image)[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/live"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def steady(
        self,
        size: tuple[int, int] = (64, 48),
        count: int | None = None,
        rate: float = 30,
        picture: Callable[[int], np.ndarray] | None = None,
    ) -> Act:
        """Give an act: so many pictures, or endless, at a rate."""

        def act(send: Send) -> None:
            for i in itertools.count() if count is None else range(count):
                plain = np.full((size[1], size[0], 3), 100 + i % 100, np.uint8)
                send(plain if picture is None else picture(i))
                self.stopping.wait(1 / rate)

        return act

    def silent(self, send: Send) -> None:
        """Say nothing, and stay on the line."""
        self.stopping.wait()


class _StoppedError(Exception):
    pass


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    errors: str


Rtpose = Callable[..., Done]


@pytest.fixture
def rtpose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Rtpose:
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["rtpose", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def mjpeg() -> Iterator[Callable[..., MjpegServer]]:
    """Start servers that end with the test; acts are added to ``server.acts``."""
    servers = []

    def start(*acts: Act) -> MjpegServer:
        servers.append(MjpegServer(*acts))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def rtsp() -> Iterator[Callable[..., RtspCamera]]:
    """Start IP cameras that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*sizes: tuple[int, int], **options: Any) -> RtspCamera:
            return stack.enter_context(contextlib.closing(RtspCamera(*sizes, **options)))

        yield start


@pytest.fixture
def quick_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lost cameras be opened again without long pauses."""
    from rtpose.media import cameras, urls

    monkeypatch.setattr(cameras, "_FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(cameras, "_LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(urls, "READ_S", 2.0)


@pytest.fixture
def threads_gone() -> Iterator[None]:
    """Fail the test if it leaves a thread of ours behind, once what it read from is closed."""
    yield
    left = [t for t in threading.enumerate() if t.name.startswith("rtpose-")]
    for thread in left:
        thread.join(10)
    assert [t.name for t in left if t.is_alive()] == []


@pytest.fixture
def wait_until() -> Callable[..., None]:
    def wait(true: Callable[[], object], seconds: float = 60) -> None:
        nap = threading.Event()
        for _ in range(int(seconds / 0.01)):
            if true():
                return
            nap.wait(0.01)
        raise AssertionError("did not happen in time")

    return wait


@pytest.fixture
def interrupted(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run a command line of its own process and signal it, once it has saved some frames.

    ``interrupted(words, saved, *signals, before=...)``: `saved` is the file of JSON lines that is
    watched, `before` is waited for first. Gives exit code and what was said.
    """

    def run(
        words: Sequence[str],
        saved: str,
        *signals: int,
        before: Callable[[], object] = lambda: None,
    ) -> tuple[int, str]:
        # as from a terminal, also where the tests run in the background or under nohup
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "signal.signal(signal.SIGHUP, signal.SIG_DFL); from rtpose.cli import main; main()"
        )
        root = str(Path(__file__).parents[2])
        with subprocess.Popen(
            [sys.executable, "-c", code, *words], cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": root}, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            before()
            for _ in range(1200):
                if (tmp_path / saved).exists() and (tmp_path / saved).stat().st_size > 2000:
                    break
                time.sleep(0.1)
            for number in signals:
                process.send_signal(number)
            try:
                _, errors = process.communicate(timeout=120)
            finally:
                process.kill()  # one that does not end must not hold up the tests for ever
        return process.returncode, errors

    return run


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "ask_driver", Driver)
    monkeypatch.setattr(gpu, "cards_on_the_bus", lambda: 0)


@pytest.fixture
def hidden_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that lists a card which PyTorch cannot use."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        gpu, "ask_driver", lambda: Driver((Gpu("NVIDIA GeForce RTX 4090", "550.54.14"),))
    )
