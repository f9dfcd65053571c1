"""The live view as a web page, for this machine's browser or a phone on the same network.

Each viewer asks for a frame when it has shown the last one and gets the newest there is. So
nothing queues up anywhere: a slow viewer sees fewer frames, all of them fresh, and neither the
pipeline nor another viewer waits for it. Pictures are encoded once, in a thread of their own, and
only when somebody asks.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import logging
import secrets
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import cv2
import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import HttpProcessingError

from rtpose.errors import RtposeError
from rtpose.media.jsonl import frame_record
from rtpose.media.view import Action, Hud
from rtpose.pose import FrameResult, Image
from rtpose.skeleton import Skeleton

_PAGE = Path(__file__).with_name("browser.html")
_BUTTONS = {
    action.value: action for action in (Action.PAUSE, Action.RECORD, Action.MIRROR, Action.SNAPSHOT)
}
# Pictures are sent no larger than this: more is lost on a page, and slow to send to a phone.
_LONGEST_SIDE = 1280
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)
# Asked for and not yet answered: one on its way and one to follow hide the way there and back.
_MOST_ASKED = 4
# A viewer who answers no ping for half of this is gone.
_HEARTBEAT_S = 30.0
_FAREWELL_S = 1.0


def _is_ours_to_mend(record: logging.LogRecord) -> bool:
    """Whether what the server complains of is a fault of this program.

    Anybody may send to a port what is no proper request; that is answered so, and no news.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


log = logging.getLogger(__name__)
log.addFilter(_is_ours_to_mend)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Listener:
    """A port that is ours; who calls is answered when there is a `BrowserView`.

    Attributes
    ----------
    host : str
        As it was asked for.
    socket : socket.socket
    """

    host: str
    socket: socket.socket

    def close(self) -> None:
        """Free the port; nothing if that was done already."""
        self.socket.close()


def listen(host: str = "127.0.0.1", port: int = 8765) -> Listener:
    """Take a port, which is quick to find fault with, before what takes its time.

    Parameters
    ----------
    host : str
        Address or name to listen on. ``0.0.0.0`` and ``::`` are all of this machine's.
    port : int
        0 takes any free one.

    Raises
    ------
    RtposeError
        If the port is in use or may not be had, or the host is not one of this machine's.
    """
    if not 0 <= port <= 65535:
        raise RtposeError(f"{port} is no port: choose 1024 to 65535, or 0 for any that is free")
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return Listener(host, socket.create_server(place, family=family))
    except UnicodeError as error:  # of names such as a..b
        raise RtposeError(
            f"no page at {host!r}: not the name of a host; choose an address of this machine"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RtposeError(
                f"port {port} of {host} is in use, perhaps by another rtpose: choose another "
                "port, or 0 for any that is free"
            ) from error
        raise RtposeError(
            f"no page at {host}, port {port} ({error.strerror}): choose an address of this "
            "machine and a port from 1024 on"
        ) from error


class BrowserView:
    """A page with the live picture, and the people's joints as JSON.

    The page is at `address`. It talks to the WebSocket ``/live``, as may any program. A text
    message ``poses`` asks for what is shown newest and was not yet sent on this connection; the
    answer comes as soon as there is something::

        {"source": "camera 0", "frame": 12, "time_s": 0.4, "unix_s": 1764249600.25,
         "width": 1280, "height": 720,
         "hud": {"fps": 29.9, "latency_ms": 41.0, "people": 1, "engine": "openvino bf16 on cpu",
                 "recording": false, "paused": false, "notice": ""},
         "people": [{"id": 1, "score": 0.93, "box": [x0, y0, x1, y1],
                     "joints": {"right_ankle": [x, y, score], ...}}]}

    Everything but ``hud`` is as in `rtpose.media.jsonl.JsonlWriter`, of the picture as it is shown:
    mirrored, if it is. A picture that stands, in a pause or because none came for a tenth of a
    second, is shown again with another ``hud``: same ``frame``, same people. ``picture`` asks for
    the same, followed by a binary message, the frame with what was drawn into it as a JPEG of at
    most 1280 pixels a side. Up to four frames may be asked for ahead, more are forgotten.
    ``pause``, ``record``, ``mirror`` and ``snapshot`` are the buttons; any other message ends the
    connection.

    Requests that name a host other than an IP address, ``localhost``, that of the listener or this
    machine's name are refused, and so are those from pages of another origin: no web site that
    the person visits can look through the camera. Where there is a token, nothing is served
    without it.

    Parameters
    ----------
    listener : Listener
        From `listen`; closed with the view.
    token : str, optional
        What ``?token=`` must say. None makes one up, unless the listener's host is this machine
        alone (loopback): that needs none.
    skeleton : Skeleton
        Of the joints of the poses that will be shown.

    Attributes
    ----------
    address : str
        Of the page, with the token in it where there is one.
    """

    def __init__(self, listener: Listener, token: str | None = None, *, skeleton: Skeleton) -> None:
        self._token = token or (None if _ip(listener).is_loopback else secrets.token_urlsafe())
        self.address = _address(listener, self._token)
        self._names = {"localhost", listener.host.lower(), *_own_names()}
        self._skeleton = skeleton
        self._page = _PAGE.read_text(encoding="utf-8")
        self._actions: deque[Action] = deque(maxlen=64)
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="rtpose-jpeg")
        # the rest belongs to the thread of the server
        self._latest: _Shot | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(listener.socket, started), name="rtpose-browser", daemon=True
        )
        self._thread.start()
        started.result()

    def show(self, result: FrameResult, hud: Hud) -> None:
        """Make this the newest frame; its image must not be changed any more."""
        # nothing after the end: the loop is closed
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._announce, result, hud)

    def actions(self) -> list[Action]:
        """What was asked for since the last call, in order."""
        return [self._actions.popleft() for _ in range(len(self._actions))]

    def close(self) -> None:
        """Say goodbye to the viewers and free the port; at most some seconds."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)
        self._encoder.shutdown(cancel_futures=True)  # waits for one picture at most

    def _run(self, listener: socket.socket, started: Future[None]) -> None:
        asyncio.run(self._serve(listener, started))

    async def _serve(self, listener: socket.socket, started: Future[None]) -> None:
        self._loop, self._stop, self._news = (
            asyncio.get_running_loop(), asyncio.Event(), asyncio.Event(),
        )  # fmt: skip
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._give_page)
        app.router.add_get("/live", self._give_frames)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_FAREWELL_S, logger=log)
        try:
            await runner.setup()
            await web.SockSite(runner, listener).start()
        except BaseException as error:  # noqa: BLE001  raised again by the constructor
            started.set_exception(error)
            return
        started.set_result(None)
        await self._stop.wait()
        await asyncio.gather(*map(_say_goodbye, self._sockets), return_exceptions=True)
        await runner.cleanup()

    def _announce(self, result: FrameResult, hud: Hud) -> None:
        self._latest = _Shot(result, hud)
        self._news.set()
        self._news = asyncio.Event()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer only who may see: see the class for the rules."""
        if not self._is_ours(request.host):
            raise web.HTTPForbidden(text=f"{request.host} is not a name of this machine\n")
        own = [f"{scheme}://{request.host.lower()}" for scheme in ("http", "https")]
        if request.headers.get("Origin", own[0]).lower() not in own:
            raise web.HTTPForbidden(text="pages of other sites may not look\n")
        if self._token is not None and not secrets.compare_digest(
            request.query.get("token", "").encode(), self._token.encode()
        ):
            raise web.HTTPForbidden(text="the address needs the ?token= that rtpose printed\n")
        return await handler(request)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine in a way that no foreign DNS can lead to."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name not in self._names:
                ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    async def _give_page(self, request: web.Request) -> web.Response:
        headers = {
            "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
            "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; "
            f"connect-src 'self' ws://{request.host} wss://{request.host}",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=self._page, content_type="text/html", headers=headers)

    async def _give_frames(self, request: web.Request) -> web.WebSocketResponse:
        viewer = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=1024)
        await viewer.prepare(request)
        self._sockets.add(viewer)
        asked: asyncio.Queue[bool] = asyncio.Queue(_MOST_ASKED)
        # apart, so that a button works while an answer waits for the network or for a frame
        tasks = [
            asyncio.create_task(self._hear(viewer, asked)),
            asyncio.create_task(self._answer(viewer, asked)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sockets.discard(viewer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        return viewer

    async def _hear(self, viewer: web.WebSocketResponse, asked: asyncio.Queue[bool]) -> None:
        async for message in viewer:
            if message.type is WSMsgType.TEXT and message.data in ("poses", "picture"):
                with suppress(asyncio.QueueFull):
                    asked.put_nowait(message.data == "picture")
            elif message.type is WSMsgType.TEXT and message.data in _BUTTONS:
                self._actions.append(_BUTTONS[message.data])
            else:
                await viewer.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"unknown message")

    async def _answer(self, viewer: web.WebSocketResponse, asked: asyncio.Queue[bool]) -> None:
        sent: _Shot | None = None
        with suppress(ConnectionResetError):  # the viewer has left
            while True:
                with_picture = await asked.get()
                while self._latest is None or self._latest is sent:
                    await self._news.wait()
                sent = self._latest
                # both before either is sent: they arrive together
                text = sent.text(self._skeleton)
                picture = await sent.jpeg(self._encoder) if with_picture else None
                await viewer.send_str(text)
                if picture is not None:
                    await viewer.send_bytes(picture)


class _Shot:
    """A frame to be sent: put into words and encoded once, by the first who asks."""

    def __init__(self, result: FrameResult, hud: Hud) -> None:
        self._result = result
        self._hud = hud
        self._text: str | None = None
        self._jpeg: asyncio.Future[bytes] | None = None

    def text(self, skeleton: Skeleton) -> str:
        if self._text is None:
            hud = asdict(self._hud) | {
                "fps": round(self._hud.fps, 1),
                "latency_ms": round(self._hud.latency_ms, 1),
            }
            record = {**frame_record(self._result, skeleton), "hud": hud}
            self._text = json.dumps(record, allow_nan=False)
        return self._text

    def jpeg(self, encoder: ThreadPoolExecutor) -> asyncio.Future[bytes]:
        if self._jpeg is None:
            loop = asyncio.get_running_loop()
            self._jpeg = loop.run_in_executor(encoder, _encode, self._result.frame.image)
        # who leaves does not cancel it for the others
        return asyncio.shield(self._jpeg)


def _encode(image: Image) -> bytes:
    height, width = image.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(cv2.imencode(".jpg", image, _JPEG)[1])


async def _say_goodbye(viewer: web.WebSocketResponse) -> None:
    farewell = viewer.close(code=WSCloseCode.GOING_AWAY, message=b"rtpose has ended")
    await asyncio.wait_for(farewell, _FAREWELL_S)


def _ip(listener: Listener) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listener.socket.getsockname()[0].partition("%")[0])


def _address(listener: Listener, token: str | None) -> str:
    """The page's, as others reach it."""
    is_any = _ip(listener).is_unspecified
    shown = _lan_address(listener.socket.family) if is_any else listener.host
    if ":" in shown:
        shown = f"[{shown}]"
    query = f"?{urlencode({'token': token})}" if token else ""
    return f"http://{shown}:{listener.socket.getsockname()[1]}/{query}"


def _lan_address(family: socket.AddressFamily) -> str:
    """Address of this machine on the network, or its name if there is no network."""
    # Connecting a datagram socket sends nothing, it only looks up the route: here to an address
    # that is set aside for documentation.
    far = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _own_names() -> set[str]:
    name = socket.gethostname().lower()
    return {name, f"{name.partition('.')[0]}.local"}
