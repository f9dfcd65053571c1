"""A person network is recorded on GPUs, and on CPUs in fewer bits only where it finds the same."""

import weakref

import numpy as np
import pytest
import torch

from rtpose.detector import load_detector
from rtpose.openvino_model import compile_for_cpu
from rtpose.person_network import _half_if_it_agrees, _recorded
from rtpose.shipped import shipped_detector
from rtpose.yolo import PersonNetwork, load_model


def test_on_a_gpu_the_first_shapes_are_recorded_and_the_others_run_as_they_are(monkeypatch):
    recorded = []

    class Graph:
        def __init__(self, network, example, pool):
            assert pool == "pool"
            recorded.append(tuple(example.shape))
            self.network, self.shape = network, example.shape

        def __call__(self, pictures):
            assert pictures.shape == self.shape
            return self.network(pictures) + 1

    monkeypatch.setattr("rtpose.person_network.CudaGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device(device))
    predict = _recorded(lambda pictures: pictures * 2, "cpu")
    for height in (*range(1, 7), *range(1, 7)):
        answer = predict(torch.ones(1, height))
        assert (answer == (3 if height <= 4 else 2)).all()
    assert recorded == [(1, height) for height in range(1, 5)]


def test_where_recording_fails_the_network_runs_as_it_is_and_that_is_said_once(monkeypatch, caplog):
    tried = []

    def fail(network, example, pool):
        tried.append(tuple(example.shape))
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr("rtpose.person_network.CudaGraph", fail)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device(device))
    predict = _recorded(lambda pictures: pictures * 2, "cpu")
    for height in (1, 1, 2):
        assert (predict(torch.ones(1, height)) == 2).all()
    assert tried == [(1, 1)]
    (said,) = caplog.messages
    assert "(CUDA error: operation not permitted when stream is capturing). Going on" in said


def test_where_recording_fails_what_it_held_is_free_before_the_network_runs(monkeypatch):
    held = []

    def fail(network, example, pool):
        activations = torch.zeros(1)
        held.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def network(pictures):
        assert held[0]() is None
        return pictures

    monkeypatch.setattr("rtpose.person_network.CudaGraph", fail)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device(device))
    assert _recorded(network, "cpu")(torch.ones(1, 2)).shape == (1, 2)
    assert held


class Halved(torch.nn.Module):
    """The shipped detector; in half precision its answers are `times` what they should be."""

    def __init__(self, times):
        super().__init__()
        self.weight, self.times = torch.nn.Parameter(torch.ones(1)), times
        # in a list, it is none of its modules: a CPU takes its time in half precision
        self.exact = [PersonNetwork(load_model(shipped_detector())[0]).eval()]

    def forward(self, pictures):
        raw = self.exact[0](pictures)
        return raw * self.times if self.weight.dtype == torch.half else raw


def test_on_a_gpu_half_precision_is_used_where_it_finds_the_same_people(caplog):
    network, precision = _half_if_it_agrees(Halved(1.001), "cpu")
    assert (precision, network.weight.dtype) == ("fp16", torch.half)
    assert not caplog.messages


@pytest.mark.parametrize("times", [float("nan"), 0.5])
def test_on_a_gpu_half_precision_that_finds_others_is_not_used_and_that_is_said(caplog, times):
    """A GeForce GTX 16 gave NaN: nobody in every picture, and not a word."""
    network, precision = _half_if_it_agrees(Halved(times), "cpu")
    assert (precision, network.weight.dtype) == ("fp32", torch.float)
    (said,) = caplog.messages
    assert "detector: in fp16 the people found are not those of fp32 (" in said


@pytest.fixture
def int8_is_quickest(tmp_path, monkeypatch):
    # nothing is known of this one; what was compiled is taken from the cache all the same
    monkeypatch.setattr(
        "rtpose.cpu_precision.what_computes", lambda: {"processor": f"one of {tmp_path}"}
    )
    monkeypatch.setattr("rtpose.person_network.possible_precisions", lambda **_: ["fp32", "int8"])
    monkeypatch.setattr(
        "rtpose.person_network.time_precisions", lambda *_: {"fp32": 2.0, "int8": 1.0}
    )


def test_a_precision_that_finds_the_same_people_is_used_and_asked_once(
    int8_is_quickest, monkeypatch, caplog
):
    assert load_detector().precision == "int8"
    monkeypatch.setattr("rtpose.person_network._compare", lambda *_: pytest.fail("asked again"))
    assert load_detector().precision == "int8"
    assert not caplog.messages


@pytest.mark.parametrize("fault", [float("nan"), 0.0, 0.5])
def test_a_precision_that_finds_others_is_not_used_and_that_is_said(
    int8_is_quickest, monkeypatch, caplog, fault
):
    """NaN would be nobody in every picture, and not a word."""

    class Broken:
        def __init__(self, request):
            self.request = request

        def infer(self, inputs):
            return [self.request.infer(inputs)[0] * np.float32(fault)]

    def compile_broken(graph, precision, **options):
        request = compile_for_cpu(graph, precision, **options)
        return Broken(request) if precision == "int8" else request

    monkeypatch.setattr("rtpose.person_network.compile_for_cpu", compile_broken)
    for _ in range(2):
        assert load_detector().precision == "fp32"
    assert "detector: in int8 the people found are not those of fp32 (" in caplog.messages[0]
    assert len(caplog.messages) == 2
