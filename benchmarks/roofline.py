"""What a network costs at least: its work, counted, over what the device does, measured."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

DTYPES = {
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8,
    "int8+bf16": torch.int8,
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """One crop through a network.

    Attributes
    ----------
    gmac : float
        Multiply-adds of the convolutions, 1e9.
    weights : int
        Numbers that are read once a batch.
    values : int
        Numbers that go into and come out of convolutions, if nothing else touched memory: all
        between two convolutions is thought fused into them.
    """

    gmac: float
    weights: int
    values: int


@dataclass(frozen=True)
class Device:
    """What a device was measured to do in one precision: multiply-adds and bytes a second."""

    macs: float
    bandwidth: float


def count_work(network: nn.Module, crops: Tensor) -> Work:
    """Count by running: `crops` holds one crop."""
    macs = values = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, values
        assert isinstance(layer, nn.Conv2d)
        macs += output.numel() * layer.weight[0].numel()
        values += inputs[0].numel() + output.numel()

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.inference_mode():
            network(crops)
    finally:
        for hook in hooks:
            hook.remove()
    return Work(macs / 1e9, sum(layer.weight.numel() for layer in layers), values)


@functools.cache
def measure_device(device: str, precision: str) -> Device:
    """The rate of a large matrix product and of a large copy, the best of several, asked once.

    The product in fp32 is without TensorFloat-32, PyTorch's default for matrices, and so are the
    engines' convolutions.
    """
    dtype = DTYPES[precision]
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    side, length = (8192, 1 << 28) if device != "cpu" else (1024, 1 << 25)
    a, b = (torch.randn(side, side, device=device).mul(30).to(dtype) for _ in range(2))
    product = torch.empty_like(a)

    def run() -> None:
        # torch.mm has no integers
        torch._int_mm(a, b) if dtype == torch.int8 else torch.mm(a, b, out=product)

    source = torch.zeros(length, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    multiply = min(seconds(run, device, 5))
    copy = min(seconds(lambda: target.copy_(source), device, 5))
    torch.set_num_threads(threads)
    macs = side**3 / multiply
    if dtype == torch.int8:
        # on a CPU without instructions for it PyTorch takes longer than in float32; engines do not
        macs = max(macs, measure_device(device, "fp32").macs)
    return Device(macs, 2 * length / copy)


def floor_s(work: Work, crops: int, precision: str, device: Device) -> float:
    """Least time for a batch: the longer of computing and of moving what must be moved."""
    size = DTYPES[precision].itemsize
    moved = size * (work.weights + crops * work.values)
    return max(1e9 * work.gmac * crops / device.macs, moved / device.bandwidth)


def seconds(run: Callable[[], object], device: str, times: int) -> list[float]:
    """Wall time of each of several runs, the device's work included; one more to warm up."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return taken[1:]
