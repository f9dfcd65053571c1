"""``python -m benchmarks.compare [--against REVISION]``: what has changed beyond the spread.

The history of the results is that of the repository: every file results/*.json as it lies there
now is compared with the one of an earlier commit, by default the last. A benchmark is run again,
this is run, and what it says goes into the commit that takes the new results in.

A figure has changed where its repeats then and now do not overlap. Spreads are understood as
`rtpose.bench` writes them (value, low, high) and as quartiles beside a figure (x_p25, x_p75) or
all repeats of it (x_all). Figures without a spread, such as accuracies, have changed where they
differ at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.record import RESULTS

_LESS_IS_BETTER = ("ms", "mb", "seconds", "missed", "not_found", "left_out",
                   "without_reference", "bytes", "dropped", "apart_px", "farthest_px", "raw",
                   "smoothed", "switches", "fragments", "swapped", "changes", "single",
                   "ready_s")  # fmt: skip
_NO_FIGURES = ("date", "machine", "settings", "curve")
_NAMES = ("name", "step", "clip", "model", "engine", "source", "measure", "precision", "people",
          "crops", "size", "detect_every", "variant", "seed", "split", "motion", "tracker",
          "camera_fps", "sink_ms", "recording", "detector", "min_cutoff_hz", "beta",
          "score")  # fmt: skip
"""What tells the rows of a list apart; of anything else, these are figures."""


@dataclass(frozen=True)
class Figure:
    """A number and the range of its repeats; `low` and `high` are it itself without any."""

    value: float
    low: float
    high: float
    less_is_better: bool


@dataclass(frozen=True)
class Change:
    """A figure that has changed."""

    name: str
    before: Figure
    after: Figure

    @property
    def better(self) -> bool:
        """Whether it is for the better."""
        return (self.after.value < self.before.value) == self.after.less_is_better

    def __str__(self) -> str:
        part = (self.after.value / self.before.value - 1) if self.before.value else float("inf")
        return (
            f"{'better' if self.better else 'WORSE '} {self.name}: "
            f"{self.before.value:g} -> {self.after.value:g} ({part:+.1%})"
        )


def changes(before: Any, after: Any) -> list[Change]:
    """The figures of two records that do not agree, worst things first."""
    old, new = _by_name(before), _by_name(after)
    found = [
        Change(name, old[name], figure)
        for name, figure in new.items()
        if name in old and (figure.low > old[name].high or figure.high < old[name].low)
    ]
    return sorted(found, key=lambda change: change.better)


def _by_name(data: Any) -> dict[str, Figure]:
    found = list(figures(data))
    named = dict(found)
    if len(named) < len(found):
        name, _ = Counter(name for name, _ in found).most_common(1)[0]
        raise ValueError(f"several figures are called {name}: what tells them apart?")
    return named


def figures(data: Any, name: str = "") -> Iterator[tuple[str, Figure]]:
    """Every figure of a record, by the way to it."""
    if isinstance(data, dict):
        if {"value", "low", "high"} <= data.keys():
            less = _less_is_better(data.get("unit", name))
            yield name, Figure(data["value"], data["low"], data["high"], less)
            return
        for key, value in data.items():
            if key in _NO_FIGURES or key.endswith(("_p25", "_p75", "_all")):
                continue
            path = f"{name} / {key}".removeprefix(" / ")
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                low, high = _spread(data, key, value)
                yield path, Figure(value, low, high, _less_is_better(key))
            else:
                yield from figures(value, path)
    elif isinstance(data, list):
        for i, item in enumerate(data):
            path = f"{name} / {_label(item, i)}".removeprefix(" / ")
            if isinstance(item, dict):
                item = {key: value for key, value in item.items() if key not in _NAMES}
            yield from figures(item, path)


def _spread(data: dict[str, Any], key: str, value: float) -> tuple[float, float]:
    if f"{key}_all" in data:
        return min(data[f"{key}_all"]), max(data[f"{key}_all"])
    return data.get(f"{key}_p25", value), data.get(f"{key}_p75", value)


def _label(item: Any, position: int) -> str:
    """What a list's item is called, so that items are compared whatever their order."""
    if not isinstance(item, dict):
        return str(position)
    names = [str(item[key]) for key in _NAMES if isinstance(item.get(key), (str, int, float))]
    return " ".join(names) or str(position)


def _less_is_better(name: str) -> bool:
    words = name.lower().replace("_", " ").split()
    return any(word in words or word == name for word in _LESS_IS_BETTER)


def _earlier(path: Path, revision: str) -> Any:
    """A file as it was; None where it was not there."""
    done = subprocess.run(
        ["git", "show", f"{revision}:./{path.name}"],
        cwd=path.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return json.loads(done.stdout) if done.returncode == 0 else None


def main(
    against: Annotated[str, typer.Option(help="Commit, branch or tag.")] = "HEAD",
) -> None:
    """Compare all results with those of an earlier commit; exit code 1 if something got worse."""
    known = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{against}^{{commit}}"],
        cwd=RESULTS, capture_output=True, check=False,
    )  # fmt: skip
    if known.returncode:
        print(f"error: {against}: no such commit here", file=sys.stderr)
        raise typer.Exit(2)
    worse = False
    for path in sorted(RESULTS.glob("*.json")):
        before, after = _earlier(path, against), json.loads(path.read_text())
        if before is None:
            print(f"{path.name}: new since {against}")
            continue
        found = changes(before, after)
        print(f"{path.name}: {len(found)} of {len(list(figures(after)))} figures have changed")
        if found and _place(before) != _place(after):
            print("  made on another machine than before: speeds do not compare")
        for change in found:
            print(f"  {change}")
        worse |= any(not change.better for change in found)
    raise typer.Exit(int(worse))


def _place(record: Any) -> list[Any]:
    record = record if isinstance(record, dict) else {}
    # the peers' two halves have a machine each; it is speeds that depend on it
    machine = record.get("machine") or record.get("made", {}).get("speed", {}).get("machine", {})
    return [machine.get(key) for key in ("processor", "cores", "gpu")]


if __name__ == "__main__":
    typer.run(main)
