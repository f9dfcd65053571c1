"""The paper's Table 1 with our numbers, and what they differ by."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

from rtpose.metrics import COLUMNS
from training.compare import Result


def markdown(results: list[Result]) -> str:
    """The paper's Table 1 with our numbers, and how far the others are from the first network.

    Scores are means over the seeds. Networks of one seed see the same pictures in the same order,
    so that what they differ by is taken seed by seed; with it stands its standard error.
    """
    return _scores(results) + "\n" + _differences(results)


def _scores(results: list[Result]) -> str:
    lines = [
        f"| set | network | parameters | {' | '.join(COLUMNS)} | Total | PCK@0.2 | loss by stack |",
        "|---" * (len(COLUMNS) + 6) + "|",
    ]
    for split in dict.fromkeys(r.split for r in results):
        for name in dict.fromkeys(r.variant for r in results if r.split == split):
            same = [r for r in results if r.split == split and r.variant == name]
            joints = [statistics.fmean(r.joints[c] for r in same) for c in COLUMNS]
            cells = [f"{value:.1f}" for value in joints]
            for values in ([r.total for r in same], [r.torso for r in same]):
                cells.append(f"**{statistics.fmean(values):.2f}**")
            by_stack = zip(*(r.losses for r in same), strict=True)
            cells.append(", ".join(f"{statistics.fmean(losses):.3f}" for losses in by_stack))
            size = f"{same[0].parameters / 1e6:.3f} M"
            lines.append(f"| {split} | {name} | {size} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _differences(results: list[Result]) -> str:
    first = results[0].variant
    lines = [
        f"| set | network less {first} | seeds | Total | PCK@0.2 | loss of the last stack |",
        "|---" * 6 + "|",
    ]
    for split in dict.fromkeys(r.split for r in results):
        base = {r.seed: r for r in results if r.split == split and r.variant == first}
        for name in dict.fromkeys(r.variant for r in results if r.variant != first):
            pairs = [
                (r, base[r.seed])
                for r in results
                if r.split == split and r.variant == name and r.seed in base
            ]
            if not pairs:
                continue
            cells = [
                _mean_and_error([own.total - other.total for own, other in pairs], 2),
                _mean_and_error([own.torso - other.torso for own, other in pairs], 2),
                _mean_and_error([own.losses[-1] - other.losses[-1] for own, other in pairs], 4),
            ]
            lines.append(f"| {split} | {name} | {len(pairs)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean_and_error(values: list[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):+.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {statistics.stdev(values) / math.sqrt(len(values)):.{digits}f}"


def write_results(results: list[Result], out: Path) -> None:
    """compare.json and compare.md in the folder `out`."""
    (out / "compare.json").write_text(json.dumps([vars(r) for r in results], indent=1) + "\n")
    (out / "compare.md").write_text(markdown(results))
