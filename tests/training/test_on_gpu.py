"""Steps recorded on a GPU; on the CPU only what surrounds the recording."""

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count, islice
from typing import Any

import pytest
import torch

from rtpose.checkpoint import load_checkpoint
from rtpose.decode import decode
from rtpose.engines.eager import EagerEngine
from rtpose.engines.parity import real_crops
from rtpose.network import Architecture, DCHourglass
from rtpose.shipped import find_weights
from training import on_gpu
from training.batches import Batch
from training.on_gpu import RecordedEngine, made_beside, recorded

SHAPE = Architecture(stacks=2, channels=16, joints=5, depth=2)


def network_and_pictures(device: str) -> tuple[DCHourglass, torch.Tensor]:
    torch.manual_seed(0)
    network = DCHourglass(SHAPE).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, device=device)
    return network, pictures.contiguous(memory_format=torch.channels_last)


def test_recording_leaves_statistics_as_they_are(monkeypatch: pytest.MonkeyPatch):
    def record(module: Any, examples: Any) -> Callable[..., Any]:
        # in the garbage may be the recording of the phase before, whose end would break this one
        assert not gc.isenabled()
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_recorded_teacher_answers_as_the_eager_engine_does():
    checkpoint = load_checkpoint(find_weights("nano"))
    size = checkpoint.input_size
    crops = real_crops(size).cuda()
    engine = RecordedEngine(checkpoint, len(crops) + 1, "cuda")
    # what the recording reads must not have been given away: all free memory is overwritten
    rubbish = [torch.full((1 << 18,), torch.nan, device="cuda") for _ in range(200)]
    made = engine(crops)
    del rubbish
    apart = (decode(made) - decode(EagerEngine(checkpoint, "cuda")(crops)))[..., :2].norm(dim=-1)
    assert apart.median() < 0.3
    assert (apart < 1).float().mean() > 0.9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_made_beside_are_the_same_in_the_same_order():
    rows = torch.arange(4)

    def batches() -> Iterator[Batch]:
        for i in count():
            value = torch.full((4, 3, 64, 64), i, dtype=torch.uint8, device="cuda")
            yield Batch(value, value.float(), value.float(), value > 0, rows)

    seen = [batch.pictures.amax().item() for batch in islice(made_beside(batches(), "cuda"), 50)]
    assert seen == list(range(50))
