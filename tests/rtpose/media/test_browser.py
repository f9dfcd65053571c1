"""What the view serves, and to whom; its page is tested in test_browser_page.py."""

import asyncio
import re
import socket
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import aiohttp
import cv2
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media import browser
from rtpose.media.browser import BrowserView, listen
from rtpose.media.jsonl import frame_record
from rtpose.media.view import Action, View
from rtpose.skeleton import LSP14

from .viewing import HUD, PATIENCE_S, live, opened, port, result


def noise(index: int) -> np.ndarray:
    """A picture that JPEG cannot make small: about a megabyte."""
    return np.random.default_rng(index).integers(0, 256, (720, 1280, 3), np.uint8)


@pytest.fixture
def view() -> Iterator[BrowserView]:
    with opened() as view:
        yield view


def ask(act: Callable[[aiohttp.ClientSession], Awaitable[object]]) -> object:
    """What `act` finds out as a client."""

    async def run() -> object:
        async with aiohttp.ClientSession() as session:
            return await asyncio.wait_for(act(session), PATIENCE_S)

    return asyncio.run(run())


def status(address: str, headers: dict[str, str] | None = None) -> int:
    async def get(session: aiohttp.ClientSession) -> int:
        async with session.get(address, headers=headers) as answer:
            return answer.status

    found = ask(get)
    assert isinstance(found, int)
    return found


def live_status(address: str, headers: dict[str, str] | None = None) -> int:
    """101 if the WebSocket opens, else what refused it."""

    async def connect(session: aiohttp.ClientSession) -> int:
        try:
            async with session.ws_connect(live(address), headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status

    found = ask(connect)
    assert isinstance(found, int)
    return found


def our_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("rtpose-b", "rtpose-j"))]


def test_it_is_a_view(view):
    fits: View = view
    assert fits is view


def test_the_page_is_whole_in_itself(view):
    async def get(session):
        async with session.get(view.address) as answer:
            return await answer.text(), answer.headers

    text, headers = ask(get)
    assert text.startswith("<!doctype html>")
    assert not re.search(r'(src|href)=(?!"data:)|@import|url\(|https?://', text)
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_on_this_machine_alone_no_token_is_needed(view):
    assert view.address == f"http://127.0.0.1:{port(view)}/"
    assert status(view.address) == 200
    assert live_status(view.address) == 101


@pytest.mark.parametrize("how", [{"host": "0.0.0.0"}, {"token": "secret-ü"}])
def test_nothing_is_served_without_the_token(how):
    with opened(**how) as view:
        right = f"http://127.0.0.1:{port(view)}/?{urlsplit(view.address).query}"
        assert status(right) == 200
        assert live_status(right) == 101
        for query in ("", "?token=", "?token=wrong", "?token=%C3%BC%FF", "?other=1"):
            wrong = f"http://127.0.0.1:{port(view)}/{query}"
            assert (status(wrong), live_status(wrong)) == (403, 403)
            assert status(f"http://127.0.0.1:{port(view)}/nothing{query}") == 403


def test_a_page_can_ask_whether_its_token_is_still_right():
    """As the page does when its WebSocket does not open, which never says why."""

    async def head(session: aiohttp.ClientSession) -> list[int]:
        found = []
        for address in (view.address, f"{view.address}x"):
            async with session.head(address) as answer:
                found.append(answer.status)
        return found

    with opened(token="right") as view:
        assert ask(head) == [200, 403]


def test_every_view_of_the_network_has_a_token_of_its_own():
    with opened(host="0.0.0.0") as one, opened(host="0.0.0.0") as other:
        tokens = [urlsplit(view.address).query.removeprefix("token=") for view in (one, other)]
        assert tokens[0] != tokens[1]
        assert min(map(len, tokens)) >= 43  # 32 bytes
        assert "0.0.0.0" not in one.address


@pytest.mark.parametrize(
    ("host", "is_served"),
    [
        ("127.0.0.1", True), ("localhost", True), ("LOCALHOST", True), ("[::1]", True),
        ("192.168.1.7", True), (socket.gethostname(), True), ("evil.example", False),
        ("localhost.evil.example", False), ("127.0.0.1.evil.example", False), ("", False),
        ("[::1", False), ("user@127.0.0.1", True),
    ],
)  # fmt: skip
def test_foreign_names_for_this_machine_are_refused(view, host, is_served):
    for name in (host, f"{host}:{port(view)}") if host else (host,):
        assert status(view.address, {"Host": name}) == (200 if is_served else 403)
        assert live_status(view.address, {"Host": name}) == (101 if is_served else 403)


def test_pages_of_other_origins_are_refused(view):
    own = f"http://127.0.0.1:{port(view)}"
    for origin in (
        "http://evil.example", "null", "", "http://127.0.0.1:1", "http://localhost", "http://[::1",
        f"{own}.evil.example",
    ):  # fmt: skip
        assert live_status(view.address, {"Origin": origin}) == 403, origin
        assert status(view.address, {"Origin": origin}) == 403
    assert live_status(view.address, {"Origin": own}) == 101


@pytest.mark.parametrize(
    "words",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n",
        f"GET /{'a' * 9000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_without_a_traceback(view, words, caplog):
    with socket.create_connection(("127.0.0.1", port(view)), PATIENCE_S) as client:
        client.sendall(words.encode())
        assert b" 400 " in client.recv(100)
    assert not caplog.records


def test_a_fault_of_ours_is_told(view, caplog, monkeypatch):
    monkeypatch.setattr(view, "_is_ours", None)
    assert status(view.address) == 500
    assert caplog.records[0].exc_info


def test_poses_come_as_json(view):
    shown = result(7, people=2)
    view.show(shown, HUD)

    async def poses(session):
        async with session.ws_connect(live(view.address)) as viewer:
            await viewer.send_str("poses")
            return await viewer.receive_json()

    found = ask(poses)
    assert found.pop("hud") == {
        "fps": 30.0, "latency_ms": 41.3, "people": 1, "engine": "openvino bf16 on cpu",
        "recording": False, "paused": False, "notice": "",
    }  # fmt: skip
    assert found == frame_record(shown, LSP14)
    assert list(found["people"][1]["joints"]) == list(LSP14.joints)


def test_only_the_newest_frame_is_sent_and_each_once(view):
    async def watch(session):
        async with session.ws_connect(live(view.address)) as viewer:
            for index in range(5):
                view.show(result(index), HUD)
            await viewer.send_str("poses")
            first = await viewer.receive_json()
            await viewer.send_str("poses")
            with pytest.raises(asyncio.TimeoutError):
                await viewer.receive_json(timeout=0.3)
            return first["frame"]

    assert ask(watch) == 4


def test_an_early_question_is_answered_by_the_next_frame(view):
    async def watch(session):
        async with session.ws_connect(live(view.address)) as viewer:
            found = []
            await viewer.send_str("poses")
            await viewer.send_str("poses")
            for index in (0, 1):
                view.show(result(index), HUD)
                found.append((await viewer.receive_json())["frame"])
            return found

    assert ask(watch) == [0, 1]


@pytest.mark.parametrize(
    ("size", "sent"), [((48, 64), (48, 64)), ((1000, 2560), (500, 1280)), ((5000, 2), (1280, 1))]
)
def test_the_picture_is_what_was_shown_made_no_larger_than_needed(view, size, sent):
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size).astype(np.uint8)
    image = np.stack([ramp, 255 - ramp, np.full(size, 90, np.uint8)], axis=-1)
    view.show(result(0, image), HUD)

    async def picture(session):
        async with session.ws_connect(live(view.address)) as viewer:
            await viewer.send_str("picture")
            return await viewer.receive_json(), await viewer.receive_bytes()

    told, jpeg = ask(picture)
    assert (told["height"], told["width"]) == size
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert found.shape[:2] == sent
    expected = cv2.resize(image, sent[::-1], interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(found - expected).mean() < 4


def test_a_frame_is_encoded_once_and_only_for_those_who_watch(view, monkeypatch):
    encoded = []
    encode = browser._encode

    def count(image):
        encoded.append(int(image[0, 0, 0]))
        return encode(image)

    monkeypatch.setattr(browser, "_encode", count)

    async def watch(session):
        for level in (1, 2, 3):
            view.show(result(0, np.full((48, 64, 3), level, np.uint8)), HUD)
        async with (
            session.ws_connect(live(view.address)) as one,
            session.ws_connect(live(view.address)) as other,
            session.ws_connect(live(view.address)) as reader,
        ):
            await reader.send_str("poses")
            await reader.receive_json()
            assert encoded == []
            for viewer in (one, other):
                await viewer.send_str("picture")
            for viewer in (one, other):
                await viewer.receive_json()
                await viewer.receive_bytes()
            return encoded

    assert ask(watch) == [3]


def test_a_slow_viewer_delays_nobody_and_keeps_nothing(view):
    images = []

    async def watch(session):
        slow = await session.ws_connect(live(view.address), max_msg_size=0)
        slow._response.connection.transport.pause_reading()
        async with session.ws_connect(live(view.address), max_msg_size=0) as quick:
            for index in range(30):
                image = noise(index)
                images.append(weakref.ref(image))
                view.show(result(index, image), HUD)
                del image
                await slow.send_str("picture")
                await quick.send_str("picture")
                # every frame reaches the quick one, whatever the slow one does
                assert (await quick.receive_json())["frame"] == index
                assert len(await quick.receive_bytes()) > 500_000
            # the newest, the one that is stuck, and one that a thread may just be done with
            alive = sum(image() is not None for image in images)
        slow._response.connection.transport.abort()
        return alive

    assert ask(watch) <= 3


def test_buttons_become_actions_in_order(view):
    assert view.actions() == []

    async def press(session):
        async with session.ws_connect(live(view.address)) as viewer:
            for name in ("record", "pause", "mirror", "snapshot", "pause"):
                await viewer.send_str(name)
            view.show(result(), HUD)
            await viewer.send_str("poses")
            await viewer.receive_json()

    ask(press)
    assert view.actions() == [
        Action.RECORD, Action.PAUSE, Action.MIRROR, Action.SNAPSHOT, Action.PAUSE,
    ]  # fmt: skip
    assert view.actions() == []


def test_a_button_works_while_no_frame_comes(view):
    async def press(session):
        async with session.ws_connect(live(view.address)) as viewer:
            for word in ("picture", "picture", "pause"):
                await viewer.send_str(word)
            while not (found := view.actions()):
                await asyncio.sleep(0.01)
            return found

    assert ask(press) == [Action.PAUSE]


def test_questions_do_not_pile_up(view):
    async def watch(session):
        async with session.ws_connect(live(view.address)) as viewer:
            for word in ["poses"] * 20 + ["pause"]:
                await viewer.send_str(word)
            while not view.actions():
                await asyncio.sleep(0.01)
            for answered in range(20):
                view.show(result(answered), HUD)
                try:
                    await viewer.receive_json(timeout=1)
                except asyncio.TimeoutError:
                    return answered
            return 20

    assert ask(watch) in (4, 5)  # four wait, one may have been taken up


@pytest.mark.parametrize("word", ["quit", "", "help", b"pause", "x" * 5000])
def test_what_is_no_message_ends_the_connection(view, word):
    async def say(session):
        async with session.ws_connect(live(view.address)) as viewer:
            await (viewer.send_bytes if isinstance(word, bytes) else viewer.send_str)(word)
            await viewer.receive()
            return viewer.close_code

    assert ask(say) in (aiohttp.WSCloseCode.UNSUPPORTED_DATA, aiohttp.WSCloseCode.MESSAGE_TOO_BIG)
    assert view.actions() == []


def test_close_says_goodbye_and_ends_everything():
    view = BrowserView(listen(port=0), skeleton=LSP14)
    view.show(result(), HUD)

    async def watch(session):
        async with session.ws_connect(live(view.address)) as viewer:
            await viewer.send_str("picture")
            await viewer.receive_json()
            await viewer.receive_bytes()
            await viewer.send_str("picture")
            closing = asyncio.get_running_loop().run_in_executor(None, view.close)
            message = await viewer.receive()
            await closing
            return message.type, viewer.close_code, message.extra

    kind, code, reason = ask(watch)
    assert (kind, code) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
    assert reason == "rtpose has ended"
    assert our_threads() == []
    view.close()
    view.show(result(), HUD)
    assert view.actions() == []
    with opened() as again:  # noqa: F841
        pass
    with socket.create_server(("127.0.0.1", port(view))):
        pass


def test_close_does_not_wait_for_a_viewer_who_does_not_read():
    view = BrowserView(listen(port=0), skeleton=LSP14)
    name = ("127.0.0.1", port(view))
    with socket.create_connection(name) as stuck, socket.create_connection(name):
        stuck.sendall(
            b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert stuck.recv(100).startswith(b"HTTP/1.1 101")
        ask_twice = b"\x81\x87\0\0\0\0picture" * 2  # a masked text frame, mask 0
        for index in range(12):
            view.show(result(index, noise(index)), HUD)
            stuck.sendall(ask_twice)
            time.sleep(0.02)
        began = time.monotonic()
        view.close()
        assert time.monotonic() - began < PATIENCE_S / 2
    assert our_threads() == []


def test_a_port_in_use_is_named(view):
    taken = port(view)
    with pytest.raises(RtposeError, match=rf"port {taken} of 127\.0\.0\.1 is in use"):
        listen(port=taken)
    assert status(view.address) == 200


@pytest.mark.parametrize(
    ("host", "number"),
    [
        ("127.0.0.1", 70000),
        ("127.0.0.1", -1),
        ("no-such-host.invalid", 0),
        ("192.0.2.77", 0),
        ("a..b", 0),
    ],
)
def test_places_that_cannot_be_had_are_refused_in_one_line(host, number):
    with pytest.raises(RtposeError) as caught:
        listen(host, number)
    assert "choose" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert our_threads() == []


# --- in a real browser -------------------------------------------------------------------------
