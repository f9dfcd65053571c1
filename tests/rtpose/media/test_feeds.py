"""What pictures come from: what is said of a bad one, and at which pace files and HLS come."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtpose.errors import RtposeError
from rtpose.media.feeds import FileFeed, StreamFeed, open_feed
from rtpose.media.sample import write_sample

pytestmark = pytest.mark.usefixtures("threads_gone")

Start = Callable[..., Any]


def test_a_wrong_password_of_an_ip_camera_is_said(rtsp: Start):
    server = rtsp((64, 48), account="me:secret")
    with pytest.raises(RtposeError, match=r"me:\*\*\*@.*401 Unauthorized.*password"):
        StreamFeed(server.url.replace("secret", "guess"))


@pytest.fixture
def web_folder(tmp_path: Path) -> Any:
    """A folder on a web server."""
    from functools import partial as part
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), part(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_on_a_web_server_ends(tmp_path: Path, web_folder: str):
    write_sample(tmp_path / "clip.mp4", seconds=0.5, size=(64, 48))
    feed = open_feed(f"{web_folder}/clip.mp4")
    assert isinstance(feed, FileFeed)
    count = 0
    while feed.read() is not None:
        count += 1
    feed.close()
    assert count == 15


def test_live_hls_is_paced(tmp_path: Path, web_folder: str):
    """Its pieces come all at once; without a pace one would see the last picture of each."""
    import av

    write_sample(tmp_path / "clip.mp4", seconds=1, size=(64, 48))
    with (
        av.open(str(tmp_path / "clip.mp4")) as clip,
        av.open(
            str(tmp_path / "live.m3u8"), "w", format="hls",
            options={"hls_flags": "omit_endlist", "hls_time": "10"},
        ) as live,
    ):  # fmt: skip
        video = clip.streams.video[0]
        copy = live.add_stream_from_template(video)
        for packet in clip.demux(video):
            if packet.dts is not None:
                packet.stream = copy
                live.mux(packet)
    feed = open_feed(f"{web_folder}/live.m3u8")
    assert isinstance(feed, StreamFeed)
    began = time.monotonic()
    for _ in range(20):
        assert feed.read() is not None
    assert time.monotonic() - began > 0.5
    feed.close()
