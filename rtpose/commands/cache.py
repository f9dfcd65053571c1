"""`rtpose cache`: what was converted and built, where it lies, and a way to be rid of it."""

from __future__ import annotations

import datetime
from collections import defaultdict
from typing import Annotated

import typer
from rich.table import Table

from rtpose.commands.terminal import console


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything.")] = False,
) -> None:
    """List converted networks and built engines, or clear them."""
    from rtpose.cache import Entry, cache_folder, entries
    from rtpose.cache import clear as remove

    if clear:
        gone = remove()
        size = _megabytes(sum(entry.size for entry in gone))
        console.print(f"removed {len(gone)} entries, {size}, from {cache_folder()}", markup=False)
        return
    table = Table(
        "kind", "network", "for", "entries", "last made", "size", box=None, pad_edge=False
    )
    found = list(entries())
    # one line for all that was made of a network: for each shape and precision there is an entry
    alike: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in found:
        where = entry.key.get("gpu", "CPU")
        alike[entry.kind, entry.key.get("network", "no record"), where].append(entry)
    for name, some in alike.items():
        made = datetime.datetime.fromtimestamp(max(entry.made_s for entry in some))
        size = _megabytes(sum(e.size for e in some))
        table.add_row(*name, str(len(some)), made.isoformat(" ", "minutes"), size)
    if found:
        console.print(table)
    total = _megabytes(sum(entry.size for entry in found))
    console.print(f"{cache_folder()}: {len(found)} entries, {total}", markup=False)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
