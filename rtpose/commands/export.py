"""`rtpose export`: a pose network as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rtpose.commands.options import OverwriteOption
from rtpose.commands.terminal import console
from rtpose.targets import check_target


def export(
    model: Annotated[
        str, typer.Argument(help="Pose network: nano, small, base, or a .safetensors file.")
    ],
    format: Annotated[str, typer.Option(help="onnx, openvino, torchscript or torch.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="File to write; else rtpose-MODEL.onnx, .xml, .pt or .pt2.")
    ] = None,
    flip_test: Annotated[
        bool, typer.Option(help="Put the mean with the mirror image into the file.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a pose network for another program, and compare its answers with ours."""
    from rtpose.checkpoint import load_checkpoint
    from rtpose.export import FORMATS
    from rtpose.export import export as write
    from rtpose.shipped import find_weights

    checkpoint = load_checkpoint(find_weights(model))
    suffixes = FORMATS[format].suffixes if format in FORMATS else ("",)
    path = out or Path(f"rtpose-{Path(model).stem}{suffixes[0]}")
    check_target(path, overwrite)
    for suffix in suffixes[1:]:
        check_target(path.with_suffix(suffix), overwrite)
    with console.status(f"converting to {format}; it takes about a minute", spinner="line"):
        written = write(checkpoint, format, path, flip_test)
    size = checkpoint.input_size
    console.print(
        f"{', '.join(map(str, written.files))}: crops (N, 3, {size}, {size}) uint8 RGB to heatmaps "
        f"(N, {len(checkpoint.skeleton)}, {size // 4}, {size // 4})",
        markup=False,
    )
    console.print(
        f"compared with PyTorch on real crops: {written.found}; probabilities at most "
        f"{written.apart:.1g} apart",
        markup=False,
    )
