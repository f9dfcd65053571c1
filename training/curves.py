"""The curves of a run, as a picture."""

from __future__ import annotations

from pathlib import Path

from training.run import RunFolder, read_rows


def draw_curves(run: RunFolder, out: Path) -> None:
    """Loss and rate from the metrics, and every score, against steps, as a PNG.

    Parameters
    ----------
    run : RunFolder
    out : Path
    """
    from matplotlib.figure import Figure

    metrics, scores = _columns(run.metrics), _columns(run.scores)
    figure = Figure(figsize=(10, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(metrics["step"], metrics["loss"], label="loss, mean since the last report")
    above.set_ylabel("loss")
    beside = above.twinx()
    beside.plot(metrics["step"], metrics["rate"], color="grey", linestyle=":")
    beside.set_ylabel("learning rate (dotted)")
    above.legend(loc="upper right")
    for name, values in scores.items():
        if name != "step":
            width = 2.5 if name == "val" else 1.2
            below.plot(scores["step"], values, marker="o", markersize=3, label=name, lw=width)
    below.set_ylabel("PCK@0.2 on val, %")
    below.set_xlabel("step")
    if scores:
        below.legend(loc="lower right")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(out, dpi=100)


def _columns(path: Path) -> dict[str, list[float]]:
    rows = read_rows(path)
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}
