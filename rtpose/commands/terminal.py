"""What commands share at the terminal: the console, the progress line, Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(stderr=True, highlight=False)
"""Where commands speak to the person; standard output is for data."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that work stops between two frames and not inside one.

    A polite request to end (SIGTERM, as services get it) does the same. A second Ctrl-C
    interrupts whatever runs, as without this.
    """
    pressed = threading.Event()

    def press(number: int, frame: object) -> None:
        pressed.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {n: signal.signal(n, press) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pressed
    finally:
        restore()


class _Speed(ProgressColumn):
    """Frames per second, as measured lately."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} fps" if speed else "- fps")


def frame_progress() -> Progress:
    """A progress line that counts frames."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        _Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
