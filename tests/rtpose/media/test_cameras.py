import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media.cameras import Camera
from rtpose.media.feeds import Lost, open_feed
from rtpose.media.sample import write_sample
from rtpose.pose import Image

pytestmark = pytest.mark.usefixtures("threads_gone", "quick_return")

Start = Callable[..., Any]


def camera(url: str, max_wait_s: float | None = None) -> Camera:
    return Camera(partial(open_feed, url), "the camera", max_wait_s=max_wait_s)


def test_frames_carry_numbers_and_the_time_of_their_capture(mjpeg: Start):
    server = mjpeg()
    server.acts = [server.steady()]
    with camera(server.url) as source:
        assert source.size == (64, 48)
        frames = []
        for frame in source.frames():
            age_s = source.now_s() - frame.time_s
            assert 0 <= age_s < 5
            assert frame.unix_s is not None and abs(time.time() - age_s - frame.unix_s) < 1
            frames.append(frame)
            if len(frames) == 10:
                break
    assert [f.image.shape for f in frames] == [(48, 64, 3)] * 10
    for before, after in pairwise(frames):
        assert after.index > before.index and after.time_s > before.time_s


def test_who_is_slow_gets_the_newest(mjpeg: Start, wait_until: Callable[..., None]):
    server = mjpeg()
    server.acts = [server.steady(rate=200)]
    with camera(server.url) as source:
        frames = source.frames()
        first = next(frames)
        began_s = source.now_s()
        wait_until(lambda: source.now_s() > began_s + 0.5)
        late = next(frames)
        assert late.index > first.index + 1
        assert late.time_s > began_s  # and not one that waited in a queue


def test_a_lost_stream_comes_back_with_another_size(mjpeg: Start, caplog: pytest.LogCaptureFixture):
    server = mjpeg()
    server.acts = [server.steady(count=5), None, None, server.steady(size=(96, 64))]
    waited = []
    with camera(server.url) as source, caplog.at_level(logging.INFO, "rtpose"):
        lost = threading.Event()

        def watch() -> None:
            while not lost.is_set():
                if source.waiting is not None:
                    waited.append(source.waiting)
                    lost.set()
                time.sleep(0.001)

        watcher = threading.Thread(target=watch)
        watcher.start()
        frames = source.frames()
        for frame in frames:
            if frame.image.shape == (64, 96, 3):
                break
        lost.set()
        watcher.join()
        index = frame.index
        assert next(frames).index > index
        assert source.waiting is None
    assert waited and "broke off" in waited[0].reason
    assert "the camera is lost: the stream broke off" in caplog.text
    assert "the camera is back after" in caplog.text and "96x64" in caplog.text
    assert caplog.text.count("5XX") == 2  # both refusals, in the log's detail


def test_an_ip_camera(rtsp: Start):
    """RTSP with H.264 over TCP and a password: the pictures come, in order."""
    server = rtsp((64, 48), account="me:secret")
    with camera(server.url) as source:
        assert source.size == (64, 48)
        frames = [frame for frame, _ in zip(source.frames(), range(20), strict=False)]
    levels = [float(frame.image.mean()) for frame in frames]
    assert all(later >= earlier for earlier, later in pairwise(levels))
    assert levels[-1] > levels[0] + 10  # one a frame, some of them rounded away
    assert frames[-1].image.std() < 3  # plain, as it was sent: nothing smeared
    assert {frame.source for frame in frames} == {source.name}


def test_an_ip_camera_that_drops_the_connection_comes_back_with_another_size(rtsp: Start):
    server = rtsp((64, 48), (96, 64), count=60)
    with camera(server.url) as source:
        sizes = {(64, 48): 0, (96, 64): 0}
        for frame in source.frames():
            sizes[frame.image.shape[1::-1]] += 1
            if sizes[96, 64] == 5:
                break
    assert sizes[64, 48] > 5


def test_a_stream_that_falls_silent_is_lost(
    mjpeg: Start, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
):
    monkeypatch.setattr("rtpose.media.urls.READ_S", 0.5)
    server = mjpeg()
    talk, again = server.steady(count=3), server.steady(size=(96, 64))

    def then_silent(send: Callable[[np.ndarray], None]) -> None:
        talk(send)
        server.silent(send)

    server.acts = [then_silent, again]
    with camera(server.url) as source:
        wait_until(lambda: source.waiting is not None)
        assert next(f for f in source.frames() if f.image.shape[1] == 96)


def test_no_return_in_time_is_an_error(mjpeg: Start):
    server = mjpeg()
    server.acts = [server.steady(count=3), None]
    with (
        camera(server.url, max_wait_s=0.3) as source,
        pytest.raises(RtposeError, match=r"the camera: lost \(.*\) and not back within 0.3 s"),
    ):
        for _ in source.frames():
            pass


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch):
    pauses = []
    feeds = 0

    class Flaky:
        rate = None
        waits = False

        def __init__(self) -> None:
            self.left = 1

        def read(self) -> Image:
            if not self.left:
                raise Lost("gone")
            self.left -= 1
            return np.zeros((2, 2, 3), np.uint8)

        def close(self) -> None:
            pass

    def open_flaky() -> Flaky:
        nonlocal feeds
        feeds += 1
        if feeds in (2, 3):
            raise RtposeError("refused")
        return Flaky()

    def patience(self: Camera, pause_s: float) -> float:
        pauses.append(pause_s)
        if len(pauses) == 7:
            raise RtposeError("enough")
        return 0.0

    monkeypatch.setattr("rtpose.media.cameras._FIRST_PAUSE_S", 0.5)
    monkeypatch.setattr("rtpose.media.cameras._LONGEST_PAUSE_S", 8.0)
    monkeypatch.setattr(Camera, "_patience", patience)
    with Camera(open_flaky, "flaky") as source, pytest.raises(RtposeError, match="enough"):
        for _ in source.frames():
            pass
    # also after it was back for a moment: a camera that flickers is not hammered
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]


def test_closing_while_the_camera_is_lost_does_not_wait(
    mjpeg: Start, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
):
    monkeypatch.setattr("rtpose.media.cameras._FIRST_PAUSE_S", 1000.0)
    monkeypatch.setattr("rtpose.media.cameras._LONGEST_PAUSE_S", 1000.0)
    server = mjpeg()
    server.acts = [server.steady(count=5), None]
    source = camera(server.url)
    wait_until(lambda: source.waiting is not None)
    source.close()


def test_the_event_ends_the_frames_of_a_silent_camera(mjpeg: Start):
    server = mjpeg()
    talk = server.steady(count=5)

    def then_silent(send: Callable[[np.ndarray], None]) -> None:
        talk(send)
        server.silent(send)

    server.acts = [then_silent]
    stop = threading.Event()
    with camera(server.url) as source:
        threading.Timer(0.3, stop.set).start()
        assert len(list(source.frames(stop))) <= 5


def test_who_quits_does_not_wait_for_a_camera_that_hangs():
    """The thread inside the read ends with the read, and closes what it read from."""
    hanging, closed = threading.Event(), threading.Event()

    class Hanging:
        rate = None
        waits = False
        pictures = iter([np.zeros((48, 64, 3), np.uint8)])

        def read(self) -> Image | None:
            image = next(self.pictures, None)
            if image is None:
                hanging.wait()
            return image

        def close(self) -> None:
            closed.set()

    source = Camera(Hanging, "the camera")
    next(source.frames())
    source.close()
    assert not closed.is_set()
    hanging.set()
    assert closed.wait(60)


def test_a_black_picture_is_a_picture(mjpeg: Start):
    server = mjpeg()
    server.acts = [server.steady(picture=lambda i: np.zeros((48, 64, 3), np.uint8))]
    with camera(server.url) as source:
        assert next(source.frames()).image.max() < 10


def test_a_camera_that_is_not_there_at_first_is_the_users_error(mjpeg: Start):
    server = mjpeg(None)
    with pytest.raises(RtposeError, match="5XX"):
        camera(server.url)
    assert server.connections == 1


def test_a_file_waits_until_somebody_looks(tmp_path: Path):
    """Networks take longer to load than a short clip to show."""
    write_sample(tmp_path / "a.mp4", seconds=0.5)
    with camera(str(tmp_path / "a.mp4")) as source:
        time.sleep(0.8)
        frames = list(source.frames())
    assert frames[0].index == 0 and frames[-1].index >= 10
    assert frames[0].time_s < 0.2 and 0.3 < frames[-1].time_s < 5


def test_a_file_waits_while_it_is_paused(tmp_path: Path):
    """It played on unseen, and its end ended the session of who had paused it."""
    write_sample(tmp_path / "a.mp4", seconds=0.5)
    with camera(str(tmp_path / "a.mp4")) as source:
        frames = source.frames()
        first = next(frames)
        source.paused.set()
        threading.Timer(1.5, source.paused.clear).start()
        rest = list(frames)
    late = [frame for frame in rest if frame.time_s > 1.5]
    assert late[-1].index == 14 and late[-1].time_s < 5
    assert len(late) >= len(rest) - 1  # one may have been on its way
    assert late[0].index - first.index <= 3


def test_a_file_that_is_paused_is_let_go(tmp_path: Path):
    write_sample(tmp_path / "a.mp4", seconds=0.5)
    with camera(str(tmp_path / "a.mp4")) as source:
        next(source.frames())
        source.paused.set()  # the fixture sees whether its thread ends


def test_a_file_that_nobody_looks_at_is_let_go(tmp_path: Path):
    write_sample(tmp_path / "a.mp4", seconds=0.5)
    with camera(str(tmp_path / "a.mp4")):
        pass  # the fixture sees whether its thread ends


def test_a_file_is_shown_at_its_pace_and_ends(tmp_path: Path):
    clip = tmp_path / "clip.mp4"
    write_sample(clip, seconds=0.6, size=(64, 48))
    began = time.monotonic()
    with Camera(partial(open_feed, str(clip)), "the file") as source:
        frames = list(source.frames())
    assert time.monotonic() - began > 0.5
    assert frames[-1].index == 17  # the last one is never dropped
    assert {frame.unix_s for frame in frames} == {None}  # it was taken at some other time
    assert source.rate == pytest.approx(29.97, abs=0.01)
