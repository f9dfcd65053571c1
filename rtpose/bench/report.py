"""Measurements as tables for people and as plain data for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Column, Table

from rtpose.bench.accuracy import Score
from rtpose.bench.evaluation import Accuracy
from rtpose.bench.inference import VARIANTS, Variant
from rtpose.bench.measured import NOISY, Measured, Percentiles
from rtpose.bench.speed import Speed
from rtpose.metrics import COLUMNS


def header(about: Mapping[str, Mapping[str, str]]) -> Table:
    """Machine and settings, a line each."""
    table = Table.grid(padding=(0, 2))
    for name, values in about.items():
        table.add_row(name, ", ".join(f"{key} {value}" for key, value in values.items()))
    return table


def speed_tables(speed: Speed) -> Iterator[RenderableType]:
    """What was measured, then what to think of it."""
    stages = Table("stage", _right("p50 ms"), _right("p95 ms"), _right("share"), _right("repeats"),
                   title=f"A frame alone: {speed.frames} frames, {speed.people:.1f} people each",
                   title_justify="left")  # fmt: skip
    total = sum(ms.p50.value for ms in speed.stages.values()) or 1.0
    for name, ms in speed.stages.items():
        stages.add_row(name, *_percentiles(ms, f"{ms.p50.value / total:.0%}"))
    stages.add_section()
    stages.add_row("picture to poses", *_percentiles(speed.latency, ""))
    yield stages

    whole = Table("stages overlapping", _right("fps"), _right("repeats"), title="The whole clip",
                  title_justify="left")  # fmt: skip
    for name, fps in speed.fps.items():
        whole.add_row(name, f"{fps.value:.1f}", _range(fps))
    yield whole

    crowds = Table(_right("people"), _right("detector finds"), "", _right("fps"), _right("repeats"),
                   title="Real people tiled into 1280x720, all of them posed",
                   title_justify="left")  # fmt: skip
    for crowd in speed.crowds:
        for name, fps in crowd.fps.items():
            crowds.add_row(
                str(crowd.people), str(crowd.found), name, f"{fps.value:.1f}", _range(fps)
            )
    yield crowds

    host = "not told by this system" if speed.host_mb is None else f"{speed.host_mb:.0f} MB"
    gpu = "" if speed.gpu_mb is None else f", on the GPU {speed.gpu_mb:.0f} MB more than before"
    yield f"peak memory: {host}{gpu}"
    yield from doubts(speed)


def doubts(speed: Speed) -> Iterator[str]:
    """Lines on figures that should not be trusted; none if the machine was quiet."""
    figures = list(_figures(speed))
    noisy = [name for name, figure in figures if figure.noisy]
    slowing = [name for name, figure in figures if figure.slowing]
    if noisy:
        yield (
            f"noisy: the repeats of {len(noisy)} of {len(figures)} figures (*) lie more than "
            f"{NOISY:.0%} apart; close what else is running, or raise --repeats"
        )
    if slowing:
        yield (
            f"slowing down from repeat to repeat: {', '.join(slowing)}; "
            "the machine may be too hot or short of power"
        )


def score_tables(scores: Sequence[Score], title: str) -> Iterator[Table]:
    """One for each source: measures side by side, joints by the paper's columns below each other.

    So they are narrow enough for any terminal, which would cut off figures otherwise.
    """
    for source in dict.fromkeys(row.source for row in scores):
        rows = [row for row in scores if row.source == source]
        table = Table(source, *(_right(row.measure) for row in rows),
                      title=title, title_justify="left")  # fmt: skip
        table.add_row("people", *(str(row.people) for row in rows))
        table.add_row("left out", *(str(row.without_reference) for row in rows), end_section=True)
        for name in COLUMNS:
            if any(name in row.columns for row in rows):
                rates = (row.columns.get(name, math.nan) for row in rows)
                table.add_row(name, *("-" if math.isnan(r) else f"{r:.2f}" for r in rates))
        table.add_section()
        for name, values in (
            ("P14", [row.means.p14 for row in rows]),
            ("W14", [row.means.w14 for row in rows]),
            ("A16", [row.means.a16 for row in rows]),
            ("AUC", [row.auc for row in rows]),
        ):
            table.add_row(name, *(f"{value:.2f}" for value in values))
        yield table


def accuracy_tables(accuracy: Accuracy) -> Iterator[RenderableType]:
    """Scores by the paper's columns, then what the field's two habits give."""
    for boxes, scores in accuracy.scores.items():
        yield from score_tables(scores, f"{accuracy.people} people {boxes}")
    yield (
        "P14: mean of the joints' rates without pelvis and thorax; W14: the same joints pooled; "
        "A16: all joints pooled; AUC: area under A16's curve from 0 to the threshold.\n"
        "left out: a joint that the reference length ends at (head, torso) is not labelled."
    )
    if accuracy.variants:
        yield _variants_table(accuracy.variants)
    if accuracy.precision:
        names = next(iter(accuracy.precision.values()))
        table = Table("COCO", *map(_right, names))
        for whose, values in accuracy.precision.items():
            shown = ("-" if math.isnan(v) else f"{v:.1f}" for v in values.values())
            table.add_row(whose, *shown)
        yield table
    yield from (f"note: {note}" for note in accuracy.notes)


def _variants_table(variants: Mapping[Variant, list[Score]]) -> Table:
    plainest = variants[VARIANTS[0]]
    table = Table("flip test", "between cells", *(_right(row.source) for row in plainest),
                  title=f"What they give: A16 of {plainest[0].measure}, in the labels' boxes",
                  title_justify="left")  # fmt: skip
    for variant, scores in variants.items():
        cells = (
            f"{row.means.a16:.2f} ({row.means.a16 - base.means.a16:+.2f})"
            for row, base in zip(scores, plainest, strict=True)
        )
        table.add_row("yes" if variant.flip_test else "no", variant.refinement, *cells)
    return table


def plain(data: Any) -> Any:
    """Dataclasses and arrays as what json can write, floats to four digits."""
    if is_dataclass(data) and not isinstance(data, type):
        return {f.name: plain(getattr(data, f.name)) for f in fields(data)}
    if isinstance(data, Mapping):
        return {_name(key): plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
    if isinstance(data, float):
        return round(data, 4) if math.isfinite(data) else None
    return data


def _name(key: str | Variant) -> str:
    if isinstance(key, str):
        return key
    return f"flip test {'on' if key.flip_test else 'off'}, {key.refinement}"


def _figures(data: Any, name: str = "") -> Iterator[tuple[str, Measured]]:
    """Every figure in a result, with the way to it."""
    if isinstance(data, Measured):
        yield name, data
    elif is_dataclass(data):
        for f in fields(data):
            yield from _figures(getattr(data, f.name), f"{name} {f.name}".strip())
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _figures(value, f"{name} {key}".strip())
    elif isinstance(data, tuple):
        for value in data:
            yield from _figures(value, name)


def _percentiles(ms: Percentiles, share: str) -> tuple[str, ...]:
    return f"{ms.p50.value:.2f}", f"{ms.p95.value:.2f}", share, _range(ms.p50)


def _range(m: Measured) -> str:
    digits = 1 if m.unit == "fps" else 2
    return f"{m.low:.{digits}f} to {m.high:.{digits}f}{'*' if m.noisy else ' '}"


def _right(name: str) -> Column:
    return Column(name, justify="right", no_wrap=True)
