"""CUDA graphs of the network played by plain calls of the halved network."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.engines import graphs, parity
from rtpose.engines.batches import BUCKETS
from rtpose.engines.eager import EagerEngine
from rtpose.engines.graphs import GraphsEngine
from rtpose.errors import RtposeError
from rtpose.shipped import find_weights

Network = Callable[[torch.Tensor], torch.Tensor]


class Graph:
    """What `CudaGraph` promises, without a GPU: fixed batch, results that stay."""

    def __init__(self, network: Network, example: torch.Tensor, pool: object) -> None:
        assert example.dtype == torch.half
        assert example.is_contiguous(memory_format=torch.channels_last)
        self.network, self.crops = network, example.clone()

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.crops[: len(crops)].copy_(crops)
        return self.network(self.crops)[: len(crops)].clone()


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []

    def record(network: Network, example: torch.Tensor, pool: object) -> Graph:
        sizes.append(len(example))
        return Graph(network, example, pool)

    monkeypatch.setattr(graphs, "CudaGraph", record)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device(device))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    return sizes


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    # smaller crops than it was trained for: quicker
    return replace(load_checkpoint(find_weights("nano")), input_size=64)


def test_answers_are_the_eager_networks(recorded: list[int], shipped: Checkpoint):
    engine = GraphsEngine(shipped, "cpu", flip_test=True)
    engine.warm_up()
    assert recorded == list(reversed(BUCKETS))
    reference = EagerEngine(shipped, flip_test=True)
    size = shipped.input_size
    found = parity.check(reference, engine, size)
    assert found.holds and found.joints >= 100
    crops = parity.real_crops(size)[:3]
    torch.testing.assert_close(engine(crops), reference(crops), rtol=0.1, atol=0.01)
    assert len(recorded) == len(BUCKETS)


def test_another_answer_than_eagers_is_an_error(
    recorded: list[int], shipped: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    right = Graph.__call__
    monkeypatch.setattr(Graph, "__call__", lambda self, crops: right(self, crops).roll(1, 3))
    monkeypatch.setattr(graphs, "BUCKETS", (1,))
    with pytest.raises(RtposeError, match="answers otherwise than in fp32"):
        GraphsEngine(shipped, "cpu").warm_up()


def test_out_of_memory_while_warming_up_goes_on_with_fewer(
    recorded: list[int], shipped: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    whole = Graph.__init__

    def small(self: Graph, network: Network, example: torch.Tensor, pool: object) -> None:
        if len(example) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        whole(self, network, example, pool)

    monkeypatch.setattr(Graph, "__init__", small)
    engine = GraphsEngine(shipped, "cpu")
    engine.warm_up()
    assert recorded == [32, 16, 8, 4, 2, 1]
    crops = parity.real_crops(shipped.input_size)
    assert parity.compare(EagerEngine(shipped)(crops), engine(crops)).holds
