"""What pictures come from: what is said of a bad one, and at which pace files and HLS come."""

import logging
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media.feeds import FileFeed, Lost, StreamFeed, open_feed
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
    from http.server import SimpleHTTPRequestHandler

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


def test_pixels_of_a_stream_come_square(tmp_path: Path, web_folder: str, clip: Start, tools: Any):
    """The stream itself, not as the file that it also is."""
    clip("clip.ts", images=[tools.quarters((64, 48))] * 12, options={"x264-params": "sar=4/3"})
    feed = StreamFeed(f"{web_folder}/clip.ts")
    image = feed.read()
    feed.close()
    assert image is not None and image.shape == (48, 85, 3)


def write_live_hls(folder: Path) -> Path:
    """Write a playlist of one second that says that more is to come."""
    write_sample(folder / "clip.mp4", seconds=1, size=(64, 48))
    playlist = folder / "live.m3u8"
    with (
        av.open(str(folder / "clip.mp4")) as clip,
        av.open(
            str(playlist), "w", format="hls",
            options={"hls_flags": "omit_endlist", "hls_time": "10"},
        ) as live,
    ):  # fmt: skip
        video = clip.streams.video[0]
        copy = live.add_stream_from_template(video)
        for packet in clip.demux(video):
            if packet.dts is not None:
                packet.stream = copy
                live.mux(packet)
    return playlist


def test_live_hls_is_paced(tmp_path: Path, web_folder: str):
    """Its pieces come all at once; without a pace one would see the last picture of each."""
    write_live_hls(tmp_path)
    feed = open_feed(f"{web_folder}/live.m3u8")
    assert isinstance(feed, StreamFeed)
    began = time.monotonic()
    for _ in range(20):
        assert feed.read() is not None
    assert time.monotonic() - began > 0.5
    feed.close()


def test_live_hls_that_is_over_has_ended_and_is_not_lost(tmp_path: Path, web_folder: str):
    playlist = write_live_hls(tmp_path)
    feed = open_feed(f"{web_folder}/live.m3u8")
    assert isinstance(feed, StreamFeed)
    assert feed.read() is not None
    with playlist.open("a") as more:
        more.write("#EXT-X-ENDLIST\n")
    count = 1
    while feed.read() is not None:
        count += 1
    feed.close()
    assert 25 <= count <= 30  # the decoder keeps the last few to itself


def test_live_hls_whose_server_went_away_is_lost(tmp_path: Path, web_folder: str):
    playlist = write_live_hls(tmp_path)
    feed = open_feed(f"{web_folder}/live.m3u8")
    playlist.unlink()
    with pytest.raises(Lost):
        while feed.read() is not None:
            pass
    feed.close()


def test_a_picture_of_a_kind_that_is_not_understood_is_passed_over(sender: Callable[..., str]):
    """FFmpeg has another error for these than for broken ones."""
    good = cv2.imencode(".jpg", np.full((48, 64, 3), 99, np.uint8))[1].tobytes()
    odd = bytearray(good)
    # ITU-T T.81, B.2.2, from the marker on: the sampling of the second colour is its 15th byte
    odd[odd.index(b"\xff\xc0") + 14] = 0x31
    with pytest.raises(av.error.PatchWelcomeError):
        av.CodecContext.create("mjpeg", "r").decode(av.Packet(bytes(odd)))

    pictures = [good, good, bytes(odd), bytes(odd), good]
    parts = [
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
        % (len(data), data)
        for data in pictures
    ]
    feed = StreamFeed(sender(parts, "multipart/x-mixed-replace; boundary=frame", 0.02))
    for _ in range(3):
        assert feed.read() is not None
    with pytest.raises(Lost, match="the stream"):
        feed.read()
    feed.close()


def test_pictures_begin_at_the_first_key_frame(
    sender: Callable[..., str], clip: Callable[..., Path], counting_images: Start, tools: Any
):
    often = {"x264-params": "keyint=140:scenecut=0"}
    path = clip("a.ts", images=counting_images(160), options=often)
    feed = StreamFeed(sender([tools.from_its_middle(path)]))
    assert feed.read() is not None
    feed.close()


def test_a_stream_without_a_key_frame_is_given_up(
    sender: Callable[..., str],
    clip: Callable[..., Path],
    counting_images: Start,
    tools: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("rtpose.media.feeds.DARK_S", 0.0)
    never = {"x264-params": "keyint=1000:scenecut=0"}
    path = clip("a.ts", images=counting_images(160), options=never)
    with pytest.raises(RtposeError, match="what it sends cannot be decoded"):
        StreamFeed(sender([tools.from_its_middle(path)]))


def test_pictures_that_stop_while_the_sound_goes_on_are_missed(
    sender: Callable[..., str],
    clip: Callable[..., Path],
    counting_images: Start,
    tools: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("rtpose.media.feeds.DARK_S", 0.5)
    pieces = tools.then_sound_alone(clip("a.ts", images=counting_images(10), audio=["aac"]))
    feed = StreamFeed(sender(pieces, pause_s=0.02))
    with pytest.raises(Lost, match="only sound"):
        while feed.read() is not None:
            pass
    feed.close()


def test_a_file_that_breaks_off_is_told(
    clip: Callable[..., Path], counting_images: Start, caplog: pytest.LogCaptureFixture
):
    path = clip("torn.mp4", images=counting_images(10))
    path.write_bytes(path.read_bytes()[:-5])
    feed = FileFeed(str(path))
    with caplog.at_level(logging.WARNING, "rtpose"):
        while feed.read() is not None:
            pass
    feed.close()
    [line] = caplog.messages
    assert "torn.mp4 breaks off after frame 9" in line
