"""What is chosen on machines of all kinds, played by patches."""

import pytest
import torch

from rtpose.checkpoint import Checkpoint
from rtpose.engines import available, select
from rtpose.engines.available import why_not
from rtpose.engines.select import select_engine
from rtpose.errors import RtposeError


class Fake:
    """An engine; those that are broken say so when they are warmed up."""

    broken: tuple[str, ...] = ()
    error: Exception = RtposeError("its answers are not those of eager")

    def __init__(self, name: str) -> None:
        self.name = name

    def warm_up(self) -> None:
        if self.name in self.broken:
            raise type(self.error)(f"engine {self.name}: {self.error}")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the engines that would be made."""
    names: list[str] = []

    def make(name: str, *_: object) -> Fake:
        names.append(name)
        return Fake(name)

    monkeypatch.setattr(select, "_make", make)
    return names


def packages(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let exactly these packages be installed."""

    monkeypatch.setattr(
        available, "installed_version", lambda name: versions.get(name.replace("-", "_"))
    )
    monkeypatch.setattr(torch, "__version__", "2.14.1+cu130")


def test_on_a_cpu_openvino_is_chosen(tiny: Checkpoint, no_gpu: None, made: list[str]):
    assert select_engine("auto", tiny, "cpu").reason == "the fastest that can run here"
    assert made == ["openvino"]


def test_without_openvino_eager_is_chosen_and_the_reason_said(
    tiny: Checkpoint, no_gpu: None, made: list[str], monkeypatch: pytest.MonkeyPatch
):
    fault = "openvino is not installed; run: pip install openvino"
    monkeypatch.setattr(available, "why_no_openvino", lambda: fault)
    reason = select_engine("auto", tiny, "cpu").reason
    assert made == ["eager"]
    assert f"no openvino: {fault}" in reason


def test_on_a_gpu_tensorrt_comes_first(
    tiny: Checkpoint, made: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(select, "why_not", lambda name, device: None)
    select_engine("auto", tiny, "cuda")
    assert made == ["tensorrt"]


def test_what_fails_in_warming_up_makes_room_for_the_next_and_is_said(
    tiny: Checkpoint,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(select, "why_not", lambda name, device: None)
    monkeypatch.setattr(Fake, "broken", ("tensorrt", "graphs"))
    chosen = select_engine("auto", tiny, "cuda")
    assert made == ["tensorrt", "graphs", "eager"] and chosen.engine.name == "eager"
    fault = "engine tensorrt: its answers are not those of eager"
    assert f"no tensorrt: {fault}" in chosen.reason
    assert f"{fault}. Going on with the next engine" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore of it"),
        ImportError("libnvinfer.so.10: cannot open shared object file"),
    ],
)
def test_what_libraries_raise_makes_room_for_the_next_too(
    tiny: Checkpoint, made: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
):
    monkeypatch.setattr(select, "why_not", lambda name, device: None)
    monkeypatch.setattr(Fake, "broken", ("tensorrt",))
    monkeypatch.setattr(Fake, "error", error)
    chosen = select_engine("auto", tiny, "cuda")
    assert chosen.engine.name == "graphs"
    assert str(error).splitlines()[0] in chosen.reason and "more of it" not in chosen.reason
    with pytest.raises(RtposeError, match="engine tensorrt: "):
        select_engine("tensorrt", tiny, "cuda")


def test_where_memory_ran_out_no_engine_is_tried_that_needs_more(
    tiny: Checkpoint, made: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(select, "why_not", lambda name, device: None)
    monkeypatch.setattr(Fake, "broken", ("tensorrt",))
    monkeypatch.setattr(Fake, "error", torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        select_engine("auto", tiny, "cuda")
    assert made == ["tensorrt"]


def test_a_named_engine_is_not_replaced_and_the_last_one_fails(
    tiny: Checkpoint, made: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(select, "why_not", lambda name, device: None)
    monkeypatch.setattr(Fake, "broken", ("tensorrt", "graphs", "eager"))
    with pytest.raises(RtposeError, match="not those of eager"):
        select_engine("tensorrt", tiny, "cuda").engine.warm_up()
    assert made == ["tensorrt"]
    with pytest.raises(RtposeError, match="engine eager"):
        select_engine("auto", tiny, "cuda")


def test_on_a_gpu_without_tensorrt_graphs_are_next_and_the_reason_said(
    tiny: Checkpoint, made: list[str], monkeypatch: pytest.MonkeyPatch
):
    packages(monkeypatch)
    reason = select_engine("auto", tiny, "cuda").reason
    assert made == ["graphs"]
    assert 'no tensorrt: torch-tensorrt is not installed; run: pip install "torch-tensorrt==2.14.*"' in reason  # noqa: E501  # fmt: skip


def test_a_torch_tensorrt_of_another_torch_is_refused(monkeypatch: pytest.MonkeyPatch):
    packages(monkeypatch, torch_tensorrt="2.13.0")
    fault = why_not("tensorrt", "cuda")
    assert fault is not None
    assert "torch-tensorrt 2.13 does not fit PyTorch 2.14; run: pip install" in fault


def test_a_torch_tensorrt_that_does_not_import_is_refused(monkeypatch: pytest.MonkeyPatch):
    """A missing library of TensorRT raises a bare Exception."""

    def fail(name: str) -> None:
        raise Exception("libnvinfer.so.10: cannot open\nand more")

    packages(monkeypatch, torch_tensorrt="2.14.0")
    available._import_fault.cache_clear()
    monkeypatch.setattr(available.importlib, "import_module", fail)
    fault = why_not("tensorrt", "cuda")
    available._import_fault.cache_clear()
    assert fault == (
        "torch-tensorrt cannot be imported: libnvinfer.so.10: cannot open; install it again"
    )


@pytest.mark.parametrize("name", ["tensorrt", "compiled", "graphs"])
def test_gpu_engines_on_a_machine_without_gpu(name: str, tiny: Checkpoint, no_gpu: None):
    with pytest.raises(RtposeError) as error:
        select_engine(name, tiny, "cpu")
    assert str(error.value) == (
        f"engine {name}: runs on NVIDIA GPUs only; this machine has none that a driver knows of: "
        "install NVIDIA's driver, or use --engine openvino"
    )


@pytest.mark.parametrize("name", ["tensorrt", "compiled", "graphs"])
def test_gpu_engines_on_a_gpu_that_pytorch_cannot_use(
    name: str, tiny: Checkpoint, hidden_gpu: None
):
    with pytest.raises(RtposeError, match=r"RTX 4090 is not used: .*driver 550\.54\.14"):
        select_engine(name, tiny, "cpu")


def test_gpu_engine_and_cpu_asked_for_on_a_machine_with_gpu(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(available, "no_answer", lambda device: None)
    with pytest.raises(RtposeError, match="compiled: runs on NVIDIA GPUs only; add --device cuda"):
        select_engine("compiled", tiny, "cpu")
    # one that computes nothing is no advice
    monkeypatch.setattr(available, "no_answer", lambda device: f"device {device} does not compute")
    with pytest.raises(RtposeError, match="GPUs only; device cuda does not compute"):
        select_engine("compiled", tiny, "cpu")


def test_openvino_does_not_run_on_a_gpu(tiny: Checkpoint):
    with pytest.raises(RtposeError, match="openvino: runs on cpu, not on cuda; add --device cpu"):
        select_engine("openvino", tiny, "cuda")
