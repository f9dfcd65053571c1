"""What is recorded where; without a GPU the recording itself is played by plain calls."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from rtpose.cuda_graph import _WARM_UPS, CudaGraph, _capture_stream

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

Stream = SimpleNamespace
Recorded = list[tuple[object, Stream]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """Pool and stream of each recording."""
    made: Recorded = []

    def new_stream(*_: object, **__: object) -> Stream:
        return Stream(wait_stream=lambda other: None)

    @contextmanager
    def record(graph: object, *, pool: object, stream: Stream, **_: object) -> Iterator[None]:
        made.append((pool, stream))
        yield

    monkeypatch.setattr(torch.cuda, "Stream", new_stream)
    monkeypatch.setattr(torch.cuda, "current_stream", new_stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Stream(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "graph", record)
    _capture_stream.cache_clear()
    yield made
    _capture_stream.cache_clear()


def double(inputs: torch.Tensor) -> torch.Tensor:
    return inputs * 2


def test_only_graphs_that_share_memory_are_recorded_on_one_stream(recorded: Recorded):
    """What cuBLAS works in is the stream's, and is freed with any graph recorded there."""
    for pool in ((0, 1), (0, 2), (0, 1), None):
        CudaGraph(double, torch.ones(1), pool)
    assert [pool for pool, _ in recorded] == [(0, 1), (0, 2), (0, 1), None]
    one, other, again, none = (stream for _, stream in recorded)
    assert one is again
    assert one is not other and none not in (one, other)


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_collected_while_a_graph_is_recorded(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, enabled: bool
):
    """In it may be graphs of before, whose end would break the recording."""
    collecting = []

    def network(inputs: torch.Tensor) -> torch.Tensor:
        collecting.append(gc.isenabled())
        if len(collecting) == 2 * (_WARM_UPS + 1):
            raise RuntimeError
        return inputs

    (gc.enable if enabled else gc.disable)()
    try:
        for failing in (False, True):
            with pytest.raises(RuntimeError) if failing else nullcontext():
                CudaGraph(network, torch.ones(1), None)
            assert not collecting[-1]
            assert gc.isenabled() == enabled
    finally:
        gc.enable()


@needs_gpu
def test_a_graph_that_is_garbage_breaks_no_recording():
    def record(network: Callable[[torch.Tensor], torch.Tensor]) -> CudaGraph:
        return CudaGraph(network, torch.zeros(4, device="cuda"), torch.cuda.graph_pool_handle())

    def collect(inputs: torch.Tensor) -> torch.Tensor:
        if gc.isenabled():
            gc.collect()
        return inputs + 1

    gone: list[object] = [record(double)]
    gone.append(gone)
    del gone
    assert record(collect)(torch.ones(4)).tolist() == [2] * 4


@needs_gpu
def test_a_graph_replays_in_another_thread():
    pool = torch.cuda.graph_pool_handle()
    graph = CudaGraph(lambda x: x * 2 + 1, torch.zeros(4, 3, 8, 8, device="cuda"), pool)
    crops = torch.rand(3, 3, 8, 8)
    with ThreadPoolExecutor(1) as other:
        answers = other.submit(graph, crops).result()
    torch.testing.assert_close(answers.cpu(), crops * 2 + 1)


@needs_gpu
def test_no_other_thread_is_given_the_stream_that_is_recorded():
    device = torch.device("cuda", 0)
    recorded = _capture_stream(device, None).cuda_stream
    assert recorded not in {torch.cuda.Stream(device).cuda_stream for _ in range(64)}


@needs_gpu
def test_a_graph_with_matrix_products_outlives_another():
    """Two estimators in one process, one of which goes."""

    def recorded_product() -> Callable[[], torch.Tensor]:
        torch.manual_seed(0)
        # long sums of few columns: cuBLAS splits them, and puts the parts into its workspace
        weights = torch.rand(1 << 15, 64, device="cuda", dtype=torch.bfloat16)
        inputs = torch.rand(64, 1 << 15, device="cuda", dtype=torch.bfloat16)
        graph = CudaGraph(lambda x: x @ weights, inputs, torch.cuda.graph_pool_handle())
        return lambda: graph(inputs)

    stays, goes = recorded_product(), recorded_product()
    want = stays()
    del goes
    torch.cuda.empty_cache()
    rubbish = [torch.full((1 << 20,), torch.nan, device="cuda") for _ in range(64)]
    assert torch.equal(stays(), want)
    assert all(bool(each.isnan().all()) for each in rubbish)
