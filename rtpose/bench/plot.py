"""Measurements as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtpose.bench.evaluation import Accuracy
from rtpose.bench.speed import Speed
from rtpose.errors import RtposeError
from rtpose.targets import check_target


def check_plot(path: Path) -> None:
    """Refuse early what would fail after minutes of measuring.

    Raises
    ------
    RtposeError
        If matplotlib is not installed, the file cannot be written, or the suffix is no picture's.
    """
    _figures()
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise RtposeError(f"{path}: the name of a plot must end in .png, .svg or .pdf")
    check_target(path, overwrite=True)


def plot_stages(speed: Speed, title: str, path: Path) -> None:
    """Bars of every stage's median, with lines up to what 95 in 100 frames stay below."""
    figure = _figures().Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    names = list(speed.stages)[::-1]
    p50 = [speed.stages[name].p50.value for name in names]
    more = [max(ms.p95.value - ms.p50.value, 0) for ms in (speed.stages[name] for name in names)]
    none = [0.0] * len(more)
    axes.barh(names, p50, xerr=[none, more], color="#3b7dd8", ecolor="#555555", capsize=3)
    for row, value in enumerate(p50):
        axes.annotate(
            f"{value:.1f}", (value, row), xytext=(4, 5), textcoords="offset points", fontsize=8
        )
    axes.set_xlabel("ms a frame: bar p50, line up to p95")
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def plot_curves(accuracy: Accuracy, title: str, path: Path) -> None:
    """Share of joints right at every threshold, a line for each source and boxes."""
    figure = _figures().Figure(figsize=(8, 4), layout="constrained")
    kinds = {row.measure: None for scores in accuracy.scores.values() for row in scores}
    sources = {row.source: None for scores in accuracy.scores.values() for row in scores}
    colours = {source: f"C{i}" for i, source in enumerate(sources)}
    for axes, measure in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for (boxes, scores), style in zip(accuracy.scores.items(), ("-", "--"), strict=False):
            for row in scores:
                if row.measure == measure:
                    x, y = zip(*row.curve, strict=True)
                    label = f"{row.source} {boxes}"
                    axes.plot(x, y, style, color=colours[row.source], label=label)
        axes.set(title=measure, xlabel="threshold", ylim=(0, 100))
        axes.legend(fontsize=6)
    figure.supylabel("% of joints")
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=150)


def _figures() -> Any:
    """The part of matplotlib that writes figures, without its windows."""
    try:
        import matplotlib.figure
    except ImportError:
        raise RtposeError("a plot needs matplotlib; run: pip install 'rtpose[bench]'") from None
    return matplotlib.figure
