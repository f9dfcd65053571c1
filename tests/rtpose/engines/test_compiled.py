"""torch.compile before the graphs, with the graphs played by plain calls."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from rtpose.checkpoint import Checkpoint
from rtpose.engines import graphs
from rtpose.engines.batches import BUCKETS
from rtpose.engines.compiled import CompiledEngine
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass

Network = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph is a call of what it would have recorded."""

    def record(network: Network, example: torch.Tensor, pool: object) -> Network:
        def replay(crops: torch.Tensor) -> torch.Tensor:
            padded = torch.zeros_like(example)
            padded[: len(crops)].copy_(crops)
            return network(padded)[: len(crops)]

        return replay

    monkeypatch.setattr(graphs, "CudaGraph", record)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device(device))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)


@pytest.mark.parametrize(
    ("said", "kind", "seen"),
    [
        (
            "Cannot find a working triton installation\nmore",
            RtposeError,
            r"cannot run here \(Cannot find a working triton installation\); use --engine graphs",
        ),
        ("", RtposeError, r"cannot run here \(RuntimeError\)"),
        ("CUDA error: out of memory", RtposeError, "too little free memory for a single person"),
    ],
)
def test_a_compiler_that_fails(
    said: str, kind: type[Exception], seen: str, monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint
):
    def run(crops: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(said)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: run)
    with pytest.raises(kind, match=seen):
        CompiledEngine(tiny, "cpu")(torch.zeros(1, 3, 64, 64))


def test_every_size_of_every_network_is_compiled(monkeypatch: pytest.MonkeyPatch, tiny: Checkpoint):
    """PyTorch stops compiling after eight sizes of one code and goes on without a word of error."""
    compiled: list[torch.fx.GraphModule] = []
    calls: list[int] = []

    def backend(graph: torch.fx.GraphModule, crops: list[torch.Tensor]) -> Network:
        compiled.append(graph)

        def run(*inputs: torch.Tensor) -> torch.Tensor:
            calls.append(len(compiled))
            return graph(*inputs)

        return run

    torch.manual_seed(0)
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda n, **words: real(n, backend=backend, **words))
    for channels in (4, 8):
        network = DCHourglass(Architecture(stacks=1, channels=channels, joints=21, depth=1))
        checkpoint = replace(tiny, network=network.eval(), input_size=16)
        engine, reference = CompiledEngine(checkpoint, "cpu"), EagerEngine(checkpoint)
        for size in reversed(BUCKETS):
            crops = torch.randint(0, 256, (size, 3, 16, 16), dtype=torch.uint8)
            before = len(calls)
            torch.testing.assert_close(engine(crops), reference(crops), rtol=0.1, atol=0.01)
            assert len(calls) > before
    assert len(compiled) <= 2 * 3, "one for many crops, not one for each number"
