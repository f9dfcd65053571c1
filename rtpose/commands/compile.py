"""`rtpose compile`: do ahead what the first run of an engine would do."""

from __future__ import annotations

import time

from rtpose.commands.options import DeviceOption, EngineOption, FlipOption, ModelOption
from rtpose.commands.terminal import console


def compile(
    model: ModelOption = "nano",
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    flip_test: FlipOption = False,
) -> None:
    """Build the engine for this machine ahead; TensorRT takes minutes, once."""
    from rtpose.checkpoint import load_checkpoint
    from rtpose.engines.select import select_engine
    from rtpose.gpu import select_device
    from rtpose.shipped import find_weights

    began = time.perf_counter()
    checkpoint = load_checkpoint(find_weights(model))
    selection = select_engine(engine, checkpoint, select_device(device), flip_test)
    made = selection.engine
    console.print(
        f"{model} by {made.name} {made.precision} on {made.device} is ready after "
        f"{time.perf_counter() - began:.1f} s ({selection.reason})",
        markup=False,
    )
