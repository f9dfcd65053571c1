"""What several commands ask for in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

SaveOption = Annotated[
    Path | None,
    typer.Option(
        help="Also write the joints: poses.jsonl, a line of JSON a frame; poses.csv or "
        "poses.parquet, a row a person and frame."
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
ModelOption = Annotated[
    str, typer.Option(help="Pose network: nano, small, base, or a .safetensors file.")
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        help="Person detector: a .safetensors file you trained, or a model file for ultralytics, "
        "of which a .pt can run code: name one you trust. Else the shipped one."
    ),
]
DetectSizeOption = Annotated[
    int | None,
    typer.Option(
        min=32,
        help="Longer side in pixels at which people are looked for; more finds smaller people, "
        "less is faster. Else the detector's own: 416 for the shipped one.",
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
EngineOption = Annotated[
    str,
    typer.Option(
        help="What runs the pose network: auto, tensorrt, compiled, graphs, openvino, eager."
    ),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Least score of a person; else the detector's own."),
]
JointOption = Annotated[
    float, typer.Option(min=0, max=1, help="Least score of a joint that is drawn.")
]
SkeletonOption = Annotated[
    str | None,
    typer.Option(
        help="Joints drawn: body21, mpii16, coco17, lsp14 or flic11; else all that the network "
        "predicts."
    ),
]
DetectEveryOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="Find people in every n-th frame, follow their joints in between; who comes in is "
        "found within half a second.",
    ),
]
SmoothOption = Annotated[
    bool, typer.Option(help="Take the jitter out of the joints of followed people.")
]
LIVE_DETECT_EVERY = 5
"""Live, half of the work is saved so; a file has time for every frame."""

FlipOption = Annotated[
    bool, typer.Option(help="Average with the mirror image: more exact, half as fast.")
]


@dataclass(frozen=True)
class Settings:
    """What finds the people, what places the joints, and which of them are drawn."""

    model: str = "nano"
    detector: str | None = None
    detect_size: int | None = None
    device: str = "auto"
    engine: str = "auto"
    confidence: float | None = None
    min_joint: float = 0.3
    skeleton: str | None = None
    flip_test: bool = False
    detect_every: int = 1
    smooth: bool = True
