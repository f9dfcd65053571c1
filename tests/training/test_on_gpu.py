"""Steps recorded on a GPU; on the CPU only what surrounds the recording."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from rtpose.network import Architecture, DCHourglass
from training import on_gpu
from training.on_gpu import recorded

SHAPE = Architecture(stacks=2, channels=16, joints=5, depth=2)


def network_and_pictures(device: str) -> tuple[DCHourglass, torch.Tensor]:
    torch.manual_seed(0)
    network = DCHourglass(SHAPE).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, device=device)
    return network, pictures.contiguous(memory_format=torch.channels_last)


def test_recording_leaves_statistics_as_they_are(monkeypatch: pytest.MonkeyPatch):
    def record(module: Any, examples: Any) -> Callable[..., Any]:
        module(*examples)  # as PyTorch warms up
        return module  # type: ignore[no-any-return]

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(on_gpu.torch, "autocast", lambda *_, **__: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    network, pictures = network_and_pictures("cpu")
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    every_stack = recorded(network, 4, 64)
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert [tuple(maps.shape) for maps in every_stack(pictures)] == [(4, 5, 16, 16)] * 2
    assert not torch.equal(network.stem[1].running_mean, before["stem.1.running_mean"])  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_recorded_steps_learn_what_plain_ones_do():
    """Gradients of new pictures, of weights that have moved since the recording."""
    network, example = network_and_pictures("cuda")
    every_stack = recorded(network, 4, 64)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.1)
    pictures = example.flip(0, 3).contiguous(memory_format=torch.channels_last)
    found = []
    for steps in (every_stack, network.every_stack):
        network.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            logits = steps(pictures)
        sum((maps.float() ** 2).mean() for maps in logits).backward()  # type: ignore[union-attr]
        found.append([weight.grad.clone() for weight in network.parameters()])  # type: ignore[union-attr]
    for graphed, plain in zip(*found, strict=True):
        assert (graphed - plain).norm() <= 0.05 * plain.norm() + 1e-4
