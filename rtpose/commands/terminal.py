"""What commands share at the terminal: the console, errors, the progress line, Ctrl-C."""

from __future__ import annotations

import errno
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

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
from rich.table import Column
from rich.text import Text

from rtpose.errors import RtposeError

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where commands speak to the person; standard output is for data. A message is one line, however
long: in a log the name of a file would be torn apart."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_IN_A_HURRY = 2
"""Presses of Ctrl-C that let what is being written be finished."""


def counted(number: int, one: str, many: str) -> str:
    """``1 person``, ``2 people``."""
    return f"{number} {one if number == 1 else many}"


def run_in_one_line(app: Callable[[], object], if_memory_is_short: str) -> None:
    """Run a command line; bad input ends it with one line and exit code 2.

    Parameters
    ----------
    app : callable
    if_memory_is_short : str
        What to do beside closing other programs.
    """
    try:
        app()
    except RtposeError as error:
        _end(str(error))
    except OSError as error:
        if error.errno in _NO_ROOM:
            place = f"{error.filename}: " if error.filename else ""
            _end(f"{place}{error.strerror}; free some of the disk")
        # a name too long, a folder one may not look into: never a bug where it names a file
        if error.filename is None:
            raise
        _end(f"{error.filename}: {error.strerror}; check the name and who may use it")
    except (MemoryError, RuntimeError) as error:
        # torch is not imported for this: if it was not yet, it is not its error
        if "torch" not in sys.modules:
            raise
        from rtpose.engines.faults import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        _end(f"out of memory: close other programs or {if_memory_is_short}")


def _end(message: str) -> NoReturn:
    console.print(f"error: {message}", style="red", markup=False)
    sys.exit(2)


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that work stops between two frames and not inside one.

    A polite request to end (SIGTERM, as services get it; SIGHUP, where a terminal is closed and
    `nohup` did not say to go on) does the same. People press twice where they are in a hurry, and
    what is being finished then would be lost: only the third press interrupts whatever runs, as
    without this.
    """
    pressed = threading.Event()
    presses = itertools.count(1)

    def press(number: int, frame: object) -> None:
        pressed.set()
        if next(presses) == _IN_A_HURRY:
            restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, press) for number in numbers}
    try:
        yield pressed
    finally:
        restore()


@contextmanager
def ctrl_c_afterwards() -> Iterator[None]:
    """Ctrl-C, and what `ctrl_c` takes for it, interrupt when this block is over, however it ends.

    For opening a source: an address is waited for inside PyAV, which calls Python's handlers from
    a callback of FFmpeg's and drops what they raise there. What the person would be told in the
    end is that the address has timed out.
    """
    with ctrl_c() as pressed:
        try:
            yield
        finally:
            if pressed.is_set():
                raise KeyboardInterrupt


class _Speed(ProgressColumn):
    """Frames per second, as measured lately."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} fps" if speed else "- fps")


def frame_progress() -> Progress:
    """A progress line that counts frames."""
    return Progress(
        SpinnerColumn(),
        # a longer name would leave no room for how far it has come
        TextColumn(
            "{task.description}", markup=False, table_column=Column(max_width=24, no_wrap=True)
        ),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        _Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
