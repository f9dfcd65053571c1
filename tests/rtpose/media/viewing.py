"""What the tests of the browser view and of its page share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np

from rtpose.media.browser import BrowserView, listen
from rtpose.media.view import Hud
from rtpose.pose import Frame, FrameResult, Pose
from rtpose.skeleton import LSP14

HUD = Hud(29.97, 41.26, 1, "openvino bf16 on cpu", False, False, "")
PATIENCE_S = 60.0
"""Far more than anything takes on a busy machine: only a hang reaches it."""


def result(index: int = 0, image: np.ndarray | None = None, people: int = 1) -> FrameResult:
    if image is None:
        image = np.full((48, 64, 3), 40 + 20 * index % 200, np.uint8)
    joints = np.linspace(0, 1, 3 * len(LSP14), dtype=np.float32).reshape(-1, 3)
    box = np.array([1, 2, 30, 40], np.float32)
    poses = tuple(Pose(box, 0.9, joints, 3 + k) for k in range(people))
    return FrameResult(Frame(image, index, index / 30), poses)


@contextmanager
def opened(
    host: str = "127.0.0.1", port: int = 0, token: str | None = None
) -> Iterator[BrowserView]:
    view = BrowserView(listen(host, port), token, skeleton=LSP14)
    try:
        yield view
    finally:
        view.close()


def live(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(path="/live").geturl()


def port(view: BrowserView) -> int:
    found = urlsplit(view.address).port
    assert found is not None
    return found
