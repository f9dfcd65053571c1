"""How far a training run is: a live table on a terminal, lines in a log file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from training.train import Progress

log = logging.getLogger(__name__)


@contextmanager
def live_table(title: str) -> Iterator[Callable[[Progress], None]]:
    """Something to tell a run's progress to; shown until the context ends."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield log_progress
        return
    with Live(console=console, refresh_per_second=2) as live:
        yield lambda progress: live.update(progress_table(title, progress))


def log_progress(progress: Progress) -> None:
    """One line of log."""
    scores = "  ".join(f"{name} {value:.2f}" for name, value in progress.scores.items())
    log.info(
        "step %d/%d  %d px  loss %.4f  rate %.2e  %.0f images/s  %s left  %s",
        progress.step,
        progress.steps,
        progress.size,
        progress.loss,
        progress.rate,
        progress.images_per_s,
        time_left(progress),
        scores,
    )


def progress_table(title: str, progress: Progress) -> Table:
    """Everything worth a look, as a rich table."""
    table = Table(title=title)
    row = {
        "step": f"{progress.step} / {progress.steps}",
        "crops": f"{progress.size} px",
        "loss": f"{progress.loss:.4f}",
        "rate": f"{progress.rate:.2e}",
        "images/s": f"{progress.images_per_s:.0f}",
        "left": time_left(progress),
        **{f"PCK {name}": f"{value:.2f}" for name, value in progress.scores.items()},
    }
    for name in row:
        table.add_column(name, justify="right")
    table.add_row(*row.values())
    return table


def time_left(progress: Progress) -> str:
    """Hours and minutes at the present speed."""
    if not progress.steps_per_s:
        return "-"
    minutes = round((progress.steps - progress.step) / progress.steps_per_s / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
