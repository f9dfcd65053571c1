"""What was measured of the peers, as a page and as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

REPORT_ON = "lsp_test"
"""The set that was used for nothing else."""


def markdown(record: dict[str, Any]) -> str:
    """The page."""
    lines = ["# rtpose and its peers", "", "Made by `python -m benchmarks.peers`.", ""]
    for half, table in (("accuracy", _accuracy), ("speed", _speed)):
        if half in record:
            made = record["made"][half]
            machine = ", ".join(f"{key} {value}" for key, value in made["machine"].items())
            lines += table(record[half])
            lines += [f"Last measured on {made['date']}: {machine}.", ""]
    lines += [f"Left out: {name}, {why}." for name, why in record["left_out"].items()]
    return "\n".join([*lines, ""])


def scatter(record: dict[str, Any], path: Path) -> None:
    """Accuracy against speed: up and right is better."""
    clips = record["speed"]
    figure = Figure(figsize=(5 * len(clips), 4.5), layout="constrained")
    for axes, (clip, systems) in zip(
        figure.subplots(1, len(clips), squeeze=False)[0], clips.items(), strict=True
    ):
        for name, seen in systems.items():
            pck = record["accuracy"].get(name, {}).get(REPORT_ON, {}).get("pck")
            if pck is None:
                continue
            fps = seen["fps"]
            ours = name.startswith("rtpose")
            error = [[fps["value"] - fps["low"]], [fps["high"] - fps["value"]]]
            axes.errorbar(fps["value"], pck, xerr=error, fmt="o", capsize=3,
                          color="#d1495b" if ours else "#30638e")  # fmt: skip
            axes.annotate(name, (fps["value"], pck), xytext=(-4, 7), textcoords="offset points",
                          fontsize=7)  # fmt: skip
        axes.set(title=f"{clip} at once", xlabel="frames a second", ylabel=f"PCK@0.2, {REPORT_ON}")
        axes.margins(0.35)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _accuracy(accuracy: dict[str, dict[str, Any]]) -> Iterator[str]:
    sources = list(dict.fromkeys(source for rows in accuracy.values() for source in rows))
    people = {s: max(rows[s]["people"] for rows in accuracy.values() if s in rows) for s in sources}
    yield from (
        "## Accuracy",
        "",
        "PCK@0.2 of the torso, the 12 joints all have (shoulders to ankles), everybody in the "
        "same boxes, those of the labels; in brackets how many people a system's own detector "
        "did not find in their box, whose joints count as wrong. The best of a column is bold.",
        "",
        "| | " + " | ".join(f"{s}, {people[s]} people" for s in sources) + " |",
        "|---|" + "---|" * len(sources),
    )
    best = {s: max(rows[s]["pck"] for rows in accuracy.values() if s in rows) for s in sources}
    for name, rows in accuracy.items():
        cells = []
        for s in sources:
            if s not in rows:
                cells.append("-")
                continue
            pck, gone = rows[s]["pck"], rows[s]["not_found"]
            text = f"**{pck:.1f}**" if pck == best[s] else f"{pck:.1f}"
            cells.append(text + (f" ({gone})" if gone else ""))
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    ours = {n: rows for n, rows in accuracy.items() if n.startswith("rtpose")}
    for s in sources:
        top = max((rows[s]["pck"] for rows in ours.values() if s in rows), default=None)
        if top is None:
            continue
        peers = {n: rows[s]["pck"] for n, rows in accuracy.items() if n not in ours and s in rows}
        ahead = [name for name, pck in peers.items() if pck > top]
        if ahead:
            yield f"More exact than rtpose on {s}: {', '.join(ahead)}."
    yield ""


def _speed(speed: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield from (
        "## Speed",
        "",
        "Frames a second from the file to everybody's joints, nothing drawn or written: the "
        "median of runs that took turns, the slowest and the fastest run, the people found in a "
        "frame, and the speed over that of the first rtpose.",
        "",
        "| clip, people | system | fps | runs | found | ratio |",
        "|---|---|---|---|---|---|",
    )
    slower = []
    for clip, systems in speed.items():
        first = next(
            (s["fps"]["value"] for n, s in systems.items() if n.startswith("rtpose")), None
        )
        for name, seen in systems.items():
            fps = seen["fps"]
            ratio = f"{fps['value'] / first:.2f}" if first else "-"
            yield (
                f"| {clip} | {name} | {fps['value']:.1f} | {fps['low']:.1f} to {fps['high']:.1f} "
                f"| {seen['people']:.1f} | {ratio} |"
            )
            if first and not name.startswith("rtpose") and fps["value"] > first:
                slower.append(f"{name} on {clip}")
    yield ""
    if slower:
        yield f"Faster than rtpose: {'; '.join(slower)}."
    yield "MoveNet Lightning follows one person, whatever the clip holds."
    yield ""
