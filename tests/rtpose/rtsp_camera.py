"""An IP camera on the loopback: RTSP over TCP, H.264, with a password if a test wants one."""

from __future__ import annotations

import base64
import contextlib
import itertools
import socket
import threading

import av
import numpy as np

_SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=hall
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=control:track1
"""


class RtspCamera:
    """Answers one client after the other.

    FFmpeg makes the RTP packets and sends them to a socket here, which hands them on between the
    answers of the connection, as the client asked for.

    Parameters
    ----------
    sizes : tuple of (width, height)
        Of the pictures of each connection; the last goes for all further ones.
    count : int, optional
        Pictures until the first connection is dropped.
    account : str, optional
        ``name:password`` that a client must give.
    """

    def __init__(
        self,
        *sizes: tuple[int, int],
        count: int | None = None,
        account: str | None = None,
    ) -> None:
        self._sizes, self._count, self._account = sizes, count, account
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()
        name = f"{account}@" if account else ""
        self.url = f"rtsp://{name}127.0.0.1:{self._listener.getsockname()[1]}/hall"

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _serve(self) -> None:
        number = 0
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                with client, contextlib.suppress(ConnectionError):
                    client.settimeout(0.1)
                    number += self._answer(client, number)

    def _answer(self, client: socket.socket, number: int) -> bool:
        """Answer one client to the end; whether it was shown anything."""
        requests = _Lines(client, self._stopping)
        while (request := requests.next()) is not None:
            method, headers = request
            status, extra, body = "200 OK", "", ""
            if self._account and headers.get("authorization") != _basic(self._account):
                status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="hall"\r\n'
            elif method == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = _SDP.replace("\n", "\r\n")
                extra = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                transport = headers["transport"]
                assert "TCP" in transport, transport
                extra = f"Transport: {transport}\r\nSession: 1\r\n"
            head = f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{extra}\r\n"
            client.sendall((head + body).encode())
            if method == "PLAY" and status == "200 OK":
                self._play(client, number)
                return True
        return False

    def _play(self, client: socket.socket, number: int) -> None:
        size = self._sizes[min(number, len(self._sizes) - 1)]
        count = self._count if number == 0 else None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", 0))
            packets.settimeout(0.1)
            done = threading.Event()
            port = packets.getsockname()[1]
            encoder = threading.Thread(target=self._encode, args=(port, size, count, done))
            encoder.start()
            try:
                while not (self._stopping.is_set() or done.is_set()):
                    with contextlib.suppress(TimeoutError):
                        data = packets.recv(1 << 16)
                        client.sendall(b"$\0" + len(data).to_bytes(2, "big") + data)
            finally:
                done.set()
                encoder.join()

    def _encode(
        self, port: int, size: tuple[int, int], count: int | None, done: threading.Event
    ) -> None:
        """Pictures that brighten by one a frame, from 50 on."""
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10"}
        # a client may come in at any time: parameters with each key frame, and many of these
        options["x264-params"] = "keyint=5:repeat-headers=1"
        with av.open(f"rtp://127.0.0.1:{port}?pkt_size=1400", "w", format="rtp") as out:
            video = out.add_stream("libx264", rate=30, options=options)
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            for i in itertools.count() if count is None else range(count):
                image = np.full((size[1], size[0], 3), 50 + i % 200, np.uint8)
                for packet in video.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                    out.mux(packet)
                if done.wait(1 / 30) or self._stopping.is_set():
                    return
        done.set()


class _Lines:
    """Requests of a client; None when it, or the test, has ended."""

    def __init__(self, client: socket.socket, stopping: threading.Event) -> None:
        self._client, self._stopping = client, stopping
        self._waiting = b""

    def next(self) -> tuple[str, dict[str, str]] | None:
        while b"\r\n\r\n" not in self._waiting:
            try:
                data = self._client.recv(4096)
            except TimeoutError:
                data = None
            if data == b"" or self._stopping.is_set():
                return None
            self._waiting += data or b""
        head, _, self._waiting = self._waiting.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return first.split()[0], {name.lower(): value.strip() for name, value in pairs}


def _basic(account: str) -> str:
    return "Basic " + base64.b64encode(account.encode()).decode()
