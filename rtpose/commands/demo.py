"""`rtpose demo`: the main job on a clip that needs no file of the user's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from rtpose.commands.options import OverwriteOption, Settings
from rtpose.commands.video import annotate


def demo(
    out: Annotated[Path, typer.Option(help="Video to write.")] = Path("demo.pose.mp4"),
    overwrite: OverwriteOption = False,
) -> None:
    """Run the main job on a short clip of real people that is made on the spot."""
    from rtpose.media.sample import write_sample

    with tempfile.TemporaryDirectory(prefix="rtpose-") as folder:
        clip = Path(folder) / "sample.mp4"
        write_sample(clip)
        annotate([str(clip)], [out], None, overwrite, Settings())
