"""Ctrl-C between two steps, so that what was learned since the last checkpoint is not lost."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def noted_interrupt() -> Iterator[Callable[[], bool]]:
    """Tell whether Ctrl-C was pressed, instead of being stopped by it wherever one is.

    Pressed again it stops at once, as ever. Only the main thread may ask.
    """
    pressed = False

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)
        log.warning("stopping after this step; press Ctrl-C again to stop at once")

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # of a job in the background, which Ctrl-C is not meant for
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
