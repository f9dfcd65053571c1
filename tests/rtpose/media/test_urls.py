import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rtpose.errors import RtposeError
from rtpose.media import urls
from rtpose.media.urls import as_path, is_url, open_url, shown_url, source_name, stem_of_url


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("rtsp://cam/1", True),
        ("HTTP://cam:8080", True),
        ("clip.mp4", False),
        ("C:\\clips\\a.mp4", False),
        ("/dev/video0", False),
        ("a:b.mp4", False),
        ("0", False),
    ],
)
def test_what_is_an_address(text: str, yes: bool):
    assert is_url(text) == yes


@pytest.mark.parametrize("name", ["a.mp4", "my clip #1 100%.mp4", "ä.mp4"])
def test_an_address_of_a_file_is_its_path(name: str, tmp_path: Path):
    path = str(tmp_path / name)
    assert as_path((tmp_path / name).as_uri()) == path
    assert as_path((tmp_path / name).as_uri().replace("file:", "FILE:")) == path
    assert as_path(path) == path and as_path("rtsp://cam/a%20b") == "rtsp://cam/a%20b"


def test_passwords_are_not_shown():
    assert shown_url("rtsp://me:secret@cam:554/live?x=1") == "rtsp://me:***@cam:554/live?x=1"
    assert shown_url("rtsp://cam:554/live") == "rtsp://cam:554/live"
    assert shown_url("clip.mp4") == "clip.mp4"


TORN = [
    "rtsp://admin:qz[xy@host/",
    "rtsp://admin:qz#xy@host/",
    "rtsp://admin:qz?xy@host/",
    "rtsp://admin:qz/xy@host/live",
    "rtsp://admin.invalid:77#xy@host/",
    "rtsp://admin:qz@x.invalid#xy@host/",
]
"""With a password that makes of the address something else than was meant."""


@pytest.mark.parametrize("url", TORN)
def test_passwords_that_tear_an_address_are_not_shown_either(url: str):
    assert shown_url(url).startswith("rtsp://admin")
    assert ":***@host/" in shown_url(url)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://me:secret@cam:554/live?key=secret#a", "rtsp://cam:554/live"),
        ("http://[::1]:80/a/b.mjpg", "http://[::1]:80/a/b.mjpg"),
        ("rtsp://cam:554/a/user=me&password=secret&channel=1.sdp/b", "rtsp://cam:554/a/"),
        ("clips/a b?c=1.mp4", "clips/a b?c=1.mp4"),
        ("grün.mp4", "grün.mp4"),
        ("caf\udce9.mp4", "caf\ufffd.mp4"),
    ],
)
def test_nothing_private_is_handed_on(source: str, name: str):
    assert source_name(source) == name
    source_name(source).encode()


@pytest.mark.parametrize("url", TORN)
def test_nor_pieces_of_passwords_that_tear_an_address(url: str):
    assert source_name(url) in ("rtsp://host/", "rtsp://host/live")


@pytest.mark.parametrize("url", TORN)
def test_what_to_do_about_such_a_password_is_said(url: str):
    with pytest.raises(RtposeError, match=r"# as %23") as caught:
        open_url(url)
    assert str(caught.value).startswith(f"{shown_url(url)}: ")
    for piece in ("qz", "xy", "77", "x.invalid", "named admin"):
        assert piece not in str(caught.value)


def test_what_is_no_address_is_said_in_one_line():
    for use in (open_url, source_name, stem_of_url):
        for url in ("rtsp://[::1/a", "http://cam:port/a", "http://cam:99999/a"):
            with pytest.raises(RtposeError, match=r"not a proper address; check its host and port"):
                use(url)
    with pytest.raises(RtposeError, match=r"no host named cam\.\.local"):
        open_url("rtsp://cam..local/")
    assert stem_of_url("rtsp://cam..local/") == "cam..local"


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        ("rtsp://cam.local:554/hall/door", "door"),
        ("http://me:pw@cam.local:8080/", "cam.local"),
        ("http://host/clip.m3u8?token=1", "clip"),
        ("udp://@:5000", "stream"),
        ("rtsp://cam/live/user=me&password=secret&channel=1.sdp", "live"),
        ("rtsp://cam.local:554/user=me&password=secret&channel=1.sdp?real_stream", "cam.local"),
    ],
)
def test_files_made_from_a_stream_have_a_name(url: str, stem: str):
    assert stem_of_url(url) == stem


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_refused(scheme: str):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(RtposeError, match=f"{scheme}://127.0.0.1:{port}/x: connection refused"):
        open_url(f"{scheme}://127.0.0.1:{port}/x")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers_is_timed_out(scheme: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(urls, "OPEN_S", 1.0)
    monkeypatch.setattr(urls, "READ_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(RtposeError, match="timed out"):
            open_url(f"{scheme}://127.0.0.1:{port}/x")


@pytest.fixture
def answer() -> Any:
    """Serve one answer, with a status and a body."""
    servers = []

    def serve(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/page"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>welcome</html>" * 50, "not with a video stream"),
        (404, b"", "404 Not Found"),
        (401, b"", "401 Unauthorized"),
        (500, b"", "5XX Server Error"),
    ],
)
def test_no_stream_is_named(
    answer: Callable[[int, bytes], str], status: int, body: bytes, words: str
):
    with pytest.raises(RtposeError, match=words):
        open_url(answer(status, body))


def test_unknown_host_and_scheme():
    with pytest.raises(RtposeError, match=r"no host named camera\.invalid"):
        open_url("rtsp://camera.invalid/1")
    with pytest.raises(RtposeError, match="unknown kind of address"):
        open_url("camera://127.0.0.1/1")


def test_the_password_is_in_no_error():
    with pytest.raises(RtposeError) as caught:
        open_url("rtsp://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
