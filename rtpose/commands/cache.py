"""`rtpose cache`: what was converted and built, where it lies, and a way to be rid of it."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer
from rich.table import Table

from rtpose.commands.terminal import console


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything.")] = False,
) -> None:
    """List converted networks and built engines, or clear them."""
    from rtpose.cache import cache_folder, entries
    from rtpose.cache import clear as remove

    if clear:
        gone = remove()
        size = _megabytes(sum(entry.size for entry in gone))
        console.print(f"removed {len(gone)} entries, {size}, from {cache_folder()}", markup=False)
        return
    table = Table("kind", "made from", "made on", "size", box=None, pad_edge=False)
    found = list(entries())
    for entry in found:
        made = datetime.datetime.fromtimestamp(entry.folder.stat().st_mtime)
        made_from = ", ".join(f"{k} {v}" for k, v in entry.key.items()) or "no record"
        table.add_row(entry.kind, made_from, made.isoformat(" ", "minutes"), _megabytes(entry.size))
    if found:
        console.print(table)
    total = _megabytes(sum(entry.size for entry in found))
    console.print(f"{cache_folder()}: {len(found)} entries, {total}", markup=False)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
