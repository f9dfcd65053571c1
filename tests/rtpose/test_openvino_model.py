import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from torch import nn

from rtpose import openvino_model
from rtpose.openvino_model import compile_for_cpu, convert, why_no_openvino

EXAMPLE = torch.zeros(1, 3, 8, 8)
SHAPE = (-1, 3, 8, 8)


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()).eval()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "rtpose" / "openvino"


def run(model: object, pixels: torch.Tensor) -> torch.Tensor:
    request = compile_for_cpu(model, "fp32")
    return torch.from_numpy(np.array(request.infer([pixels.numpy()])[0]))


def test_same_answers_for_any_batch_from_the_graph_and_from_the_cache(cache: Path):
    network = small()
    for model in (convert(network, EXAMPLE, SHAPE), convert(network, EXAMPLE, SHAPE)):
        for count in (1, 3):
            pixels = torch.rand(count, 3, 8, 8)
            torch.testing.assert_close(run(model, pixels), network(pixels), rtol=1e-4, atol=1e-5)
    assert len(list(cache.glob("*/model.xml"))) == 1


@pytest.mark.usefixtures("cache")
def test_openvino_takes_no_verbose_of_ours_for_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """It looks for the word among the arguments, and would print a page between joints' lines."""
    monkeypatch.setattr(sys, "argv", ["rtpose", "--verbose", "video"])
    convert(small(), EXAMPLE, SHAPE)
    assert not capsys.readouterr().out


def test_second_time_nothing_is_traced(cache: Path, monkeypatch: pytest.MonkeyPatch):
    convert(small(), EXAMPLE, SHAPE)
    monkeypatch.setattr(torch.jit, "trace", lambda *_, **__: pytest.fail("traced again"))
    convert(small(), EXAMPLE, SHAPE)


def test_other_weights_or_shapes_are_other_graphs(cache: Path):
    convert(small(0), EXAMPLE, SHAPE)
    convert(small(1), EXAMPLE, SHAPE)
    convert(small(0), EXAMPLE, (1, 3, 8, 8))
    assert len(list(cache.iterdir())) == 3


def test_a_graph_of_another_recipe_is_not_taken(cache: Path, monkeypatch: pytest.MonkeyPatch):
    convert(small(), EXAMPLE, SHAPE)
    monkeypatch.setattr(openvino_model, "_RECIPE", "another")
    convert(small(), EXAMPLE, SHAPE)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_entry_is_made_again_and_said(cache: Path, caplog: pytest.LogCaptureFixture):
    network = small()
    convert(network, EXAMPLE, SHAPE)
    (path,) = cache.glob("*/model.xml")
    path.write_text("<nonsense")
    with caplog.at_level(logging.WARNING):
        model = convert(network, EXAMPLE, SHAPE)
    assert "is damaged and made again" in caplog.text
    pixels = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(run(model, pixels), network(pixels), rtol=1e-4, atol=1e-5)
    assert path.read_text().startswith("<?xml")


def compiled_anew(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What OpenVINO is asked to compile from here on."""
    core = openvino_model._core()
    asked: list[object] = []

    class Watched:
        def compile_model(self, model: object, *rest: object) -> object:
            asked.append(model)
            return core.compile_model(model, *rest)

        def __getattr__(self, name: str) -> object:
            return getattr(core, name)

    monkeypatch.setattr(openvino_model, "_core", Watched)
    return asked


def test_second_time_nothing_is_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch):
    network, pixels = small(), torch.rand(1, 3, 8, 8)
    compile_for_cpu(convert(network, EXAMPLE, SHAPE), "fp32", shape=pixels.shape)
    asked = compiled_anew(monkeypatch)
    request = compile_for_cpu(convert(network, EXAMPLE, SHAPE), "fp32", shape=pixels.shape)
    assert not asked
    answer = torch.from_numpy(request.infer([pixels.numpy()])[0])
    torch.testing.assert_close(answer, network(pixels), rtol=1e-4, atol=1e-5)


def test_another_shape_number_of_threads_or_network_is_compiled(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    model = convert(small(), EXAMPLE, SHAPE)
    compile_for_cpu(model, "fp32")
    asked = compiled_anew(monkeypatch)
    compile_for_cpu(model, "fp32", shape=(1, 3, 8, 8))
    compile_for_cpu(model, "fp32", threads=1)
    compile_for_cpu(convert(small(1), EXAMPLE, SHAPE), "fp32")
    assert len(asked) == 3


def test_what_was_compiled_is_damaged(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    model = convert(small(), EXAMPLE, SHAPE)
    compile_for_cpu(model, "fp32")
    (path,) = cache.glob("*/compiled.blob")
    path.write_bytes(path.read_bytes()[:-100])
    asked = compiled_anew(monkeypatch)
    with caplog.at_level(logging.WARNING):
        compile_for_cpu(model, "fp32")
        compile_for_cpu(model, "fp32")
    assert "is damaged and made again" in caplog.text
    assert len(asked) == 1


def test_without_a_place_to_keep_it_it_works_all_the_same(
    cache: Path, caplog: pytest.LogCaptureFixture
):
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file where the folder should be")
    with caplog.at_level(logging.INFO, logger="rtpose"):
        convert(small(), EXAMPLE, SHAPE)
    assert "is not kept" in caplog.text


@pytest.fixture
def asked_anew() -> Iterator[None]:
    why_no_openvino.cache_clear()
    yield
    why_no_openvino.cache_clear()


def test_openvino_that_is_not_installed(asked_anew: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(openvino_model.importlib.util, "find_spec", lambda name: None)
    assert why_no_openvino() == "openvino is not installed; run: pip install openvino"


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libopenvino.so.2640: cannot open shared object file\nmore"),
        RuntimeError("Device with CPU name is not registered in the OpenVINO Runtime\nmore"),
    ],
)
def test_openvino_that_is_installed_but_broken(
    asked_anew: None, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    """A library is missing, or its part for CPUs is."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(openvino_model, "_core", fail)
    line = str(error).splitlines()[0]
    assert why_no_openvino() == f"openvino cannot be used: {line}; install it again"


def test_openvino_that_runs(asked_anew: None):
    assert why_no_openvino() is None


SIGNAL_AFTER_MODELS = """
import gc, signal, torch
from rtpose.openvino_model import compile_for_cpu, convert
network = torch.nn.Conv2d(3, 4, 3).eval()
models = [
    compile_for_cpu(convert(network, torch.zeros(1, 3, 8, 8), (1, 3, 8, 8)), "fp32")
    for _ in range(3)
]
while models:
    del models[0]
    gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no user signals on this system")
def test_signals_are_handled_after_models_are_gone():
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_AFTER_MODELS],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
