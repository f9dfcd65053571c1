"""A camera that is none: a clip over HTTP MJPEG, paced, each picture stamped with its time.

``python -m benchmarks.synthetic_camera CLIP`` serves it on the loopback and prints the address. A
stamp is a strip of black and white blocks at the top of the picture: 32 bits of the picture's
number and 48 of the microseconds on the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from rtpose.media.sources import VideoFile
from rtpose.pose import Image

_BITS, _ROWS, _BLOCK = 80, 2, 8
"""Bits of a stamp, rows they stand in, side of a bit's block in pixels: 320x16 in all."""


def stamp(image: Image, number: int, time_s: float) -> None:
    """Write a picture's number and time into its top left corner."""
    value = (number << 48) | round(time_s * 1e6)
    bits = np.array([value >> i & 1 for i in range(_BITS)], np.uint8).reshape(_ROWS, -1)
    strip = np.kron(bits, np.ones((_BLOCK, _BLOCK), np.uint8)) * 255
    image[: strip.shape[0], : strip.shape[1]] = strip[..., None]


def read_stamp(image: Image) -> tuple[int, float]:
    """The number and the time in seconds that `stamp` wrote, also after lossy compression."""
    columns = _BITS // _ROWS
    strip = image[: _ROWS * _BLOCK, : columns * _BLOCK].mean(axis=2)
    blocks = strip.reshape(_ROWS, _BLOCK, columns, _BLOCK).mean(axis=(1, 3)).ravel()
    value = sum(1 << i for i in range(_BITS) if blocks[i] > 127)
    return value >> 48, (value & (1 << 48) - 1) / 1e6


@contextmanager
def synthetic_camera(clip: Path, fps: float) -> Iterator[str]:
    """Run one in a process of its own; gives its address."""
    command = [sys.executable, "-m", "benchmarks.synthetic_camera", str(clip), "--fps", str(fps)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main(
    clip: Annotated[Path, typer.Argument(help="Video file, at least 320 pixels wide.")],
    fps: Annotated[float, typer.Option(help="Pictures a second.")] = 30,
) -> None:
    """Serve the clip over and over until killed."""
    with VideoFile(clip) as file:
        pictures = [frame.image for frame in file]
    # to and fro, so that nothing jumps
    course = pictures + pictures[-2:0:-1]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            began_s = time.monotonic()
            with suppress(ConnectionError):
                for number in itertools.count():
                    time.sleep(max(began_s + number / fps - time.monotonic(), 0))
                    image = course[number % len(course)].copy()
                    stamp(image, number, time.monotonic())
                    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(b"--frame\r\n" + head.encode() + data + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}/live", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    typer.run(main)
