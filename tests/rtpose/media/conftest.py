"""Small real clips with known pixels, times and sound, made on the fly."""

from __future__ import annotations

import contextlib
import itertools
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

CORNERS = {  # BGR of the four quarters, so that any turn shows
    (0, 0): (40, 40, 200),
    (0, 1): (40, 180, 40),
    (1, 0): (200, 60, 40),
    (1, 1): (210, 210, 210),
}


def quarters(size: tuple[int, int]) -> np.ndarray:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    for (row, column), colour in CORNERS.items():
        rows = slice(height // 2) if row == 0 else slice(height // 2, None)
        columns = slice(width // 2) if column == 0 else slice(width // 2, None)
        image[rows, columns] = colour
    return image


def grey(size: tuple[int, int], level: int) -> np.ndarray:
    return np.full((size[1], size[0], 3), level, np.uint8)


def level_of(index: int) -> int:
    """Grey level of a clip's n-th frame: neighbours differ by far more than coding does."""
    return 30 + 23 * index % 200


def _tone(stream: av.AudioStream, seconds: float) -> list[av.AudioFrame]:
    rate, block = stream.rate, 1024
    frames = []
    for begin in range(0, round(seconds * rate), block):
        wave = 0.1 * np.sin(np.arange(begin, begin + block) * 2 * np.pi * 330 / rate)
        frame = av.AudioFrame.from_ndarray(
            wave.astype(np.float32)[None], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        frames.append(frame)
    return frames


def make_clip(
    path: Path,
    *,
    images: Sequence[np.ndarray] = (),
    rate: Fraction = Fraction(30),
    time_base: Fraction | None = None,
    pts: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    audio: Sequence[str] = (),
    audio_s: float = 1.0,
    audio_from_s: float = 0.0,
    layout: str = "mono",
    faststart: bool = True,
    container_options: dict[str, str] | None = None,
) -> Path:
    flags = {"movflags": "+faststart"} if faststart and path.suffix in (".mp4", ".mov") else {}
    flags.update(container_options or {})
    with av.open(str(path), "w", container_options=flags) as output:
        sounds = []
        if images:
            settings = {"preset": "ultrafast", "crf": "8"} if codec == "libx264" else {}
            video = output.add_stream(codec, rate=rate, options={**settings, **(options or {})})
            coder = video.codec_context
            coder.width, coder.height = images[0].shape[1], images[0].shape[0]
            coder.pix_fmt, coder.time_base = pix_fmt, time_base or 1 / rate
        for name in audio:
            stream = output.add_stream(name, rate=48000, layout=layout)
            tone = _tone(stream, audio_s)
            for frame in tone:
                frame.pts += round(audio_from_s * stream.rate)
            sounds.append((stream, tone))
        if images:
            for i, image in enumerate(images):
                picture = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pix_fmt)
                picture.pts = pts[i] if pts is not None else i
                picture.time_base = coder.time_base
                output.mux(video.encode(picture))
            output.mux(video.encode(None))
        for stream, frames in sounds:
            for frame in [*frames, None]:
                output.mux(stream.encode(frame))
    return path


def turn_in_container(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a rotation into an mp4's track header, as phones do."""
    data = bytearray(path.read_bytes())
    # ISO/IEC 14496-12, TrackHeaderBox version 0: the matrix is 40 bytes after the type.
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (v << 16 for v in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def from_its_middle(path: Path) -> bytes:
    """Give a broadcast as one gets it who comes in after the first key frame."""
    with av.open(str(path)) as whole:
        places = [packet.pos for packet in whole.demux(video=0) if packet.size]
    return path.read_bytes()[places[5] :]


def then_sound_alone(path: Path) -> Iterator[bytes]:
    """Give the pieces of a broadcast (.ts), and a thousand more of its sound."""
    data = path.read_bytes()
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]
    # ISO/IEC 13818-1, 2.4.3.2: 13 bits say which stream it is; FFmpeg's first one is 0x100
    sound = b"".join(p for p in packets if (p[1] << 8 | p[2]) & 0x1FFF != 0x100)
    yield data
    begins = itertools.cycle(range(0, len(sound), 2048))
    yield from (sound[i : i + 2048] for i in itertools.islice(begins, 1000))


@pytest.fixture
def joined(tmp_path: Path) -> Callable[[Iterable[Path]], Path]:
    """Put broadcasts (.ts) one behind the other, as recorders and people do."""

    def join(parts: Iterable[Path]) -> Path:
        whole = tmp_path / "joined.ts"
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        return whole

    return join


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Make a clip in the test's folder: ``clip(name, images=..., ...)``."""
    return lambda name="in.mp4", **how: make_clip(tmp_path / name, **how)


@pytest.fixture
def counting_images() -> Callable[..., list[np.ndarray]]:
    """Give grey pictures whose level tells their number."""
    return lambda count, size=(64, 48): [grey(size, level_of(i)) for i in range(count)]


@pytest.fixture
def sender() -> Iterator[Callable[..., str]]:
    """Serve pieces of a stream, with a pause after each, and then hang up."""
    servers = []
    stopping = threading.Event()

    def serve(pieces: Iterable[bytes], kind: str = "video/mp2t", pause_s: float = 0) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    for piece in pieces:
                        self.wfile.write(piece)
                        if stopping.wait(pause_s):
                            return

            def log_message(self, format: str, *args: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/live"

    yield serve
    stopping.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def tools() -> object:
    """Give this module, which importlib mode cannot import by name."""
    import types

    return types.SimpleNamespace(**{k: v for k, v in globals().items() if not k.startswith("_")})
