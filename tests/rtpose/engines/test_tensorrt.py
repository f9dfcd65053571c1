"""All of the TensorRT engine but TensorRT: building and running are played by PyTorch."""

import gc
import io
import logging
import sys
import tempfile
import weakref
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import platformdirs
import pytest
import torch
from torch import nn

from rtpose.cache import entries
from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.engines import parity, tensorrt
from rtpose.engines.batches import BUCKETS
from rtpose.engines.eager import EagerEngine
from rtpose.engines.tensorrt import TensorRtEngine, engine_key
from rtpose.errors import RtposeError
from rtpose.shipped import find_weights


class FakeLogger:
    """As `tensorrt.ILogger`: what is below it decides what is done with words."""

    class Severity:
        INTERNAL_ERROR, ERROR, WARNING = range(3)


class FakeTensorRt:
    """Stands where the module tensorrt stands: its calls give None and say why on the log."""

    ILogger = FakeLogger
    TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")

    def __init__(self, failing: str | None = None, said: str | None = None) -> None:
        self.failing, self.said = failing, said

    def Runtime(self, logger: object) -> "FakeTensorRt":
        self.logger = logger
        return self

    def _result(self, call: str, result: object) -> object:
        if call != self.failing:
            return result
        self.logger.log(FakeLogger.Severity.WARNING, "out of memory is only a warning here")
        if self.said is not None:
            self.logger.log(FakeLogger.Severity.ERROR, self.said)
        return None

    num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return ("input", "output")[index]

    def get_tensor_mode(self, name: str) -> str:
        return name

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (1, 21, 16, 16)

    def set_tensor_address(self, name: str, address: int) -> None:
        pass

    def deserialize_cuda_engine(self, serialized: bytes) -> object:
        return self._result("deserialize", self)

    def create_execution_context(self) -> object:
        return self._result("context", self)

    def execute_async_v3(self, stream: int) -> object:
        return self._result("launch", True)


def load_and_run(fake: FakeTensorRt, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=0))
    return tensorrt._Running(b"", "cpu")(torch.zeros(1, 3, 64, 64))


def test_an_engine_is_loaded_and_launched_by_tensorrts_own_calls(monkeypatch: pytest.MonkeyPatch):
    assert load_and_run(FakeTensorRt(), monkeypatch).shape == (1, 21, 16, 16)


@pytest.mark.parametrize("call", ["deserialize", "context", "launch"])
@pytest.mark.parametrize(
    "said",
    ["[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
     "IRuntime::deserializeCudaEngine: Error Code 2: OutOfMemory (Requested size was 9 bytes.)"],
)  # fmt: skip
def test_lack_of_memory_that_tensorrt_logs_is_raised(
    call: str, said: str, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(torch.OutOfMemoryError, match="TensorRT"):
        load_and_run(FakeTensorRt(call, said), monkeypatch)


def test_a_context_that_is_refused_without_a_word_is_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch,
):
    with pytest.raises(torch.OutOfMemoryError):
        load_and_run(FakeTensorRt("context"), monkeypatch)


@pytest.mark.parametrize(
    ("call", "kind"),
    [("deserialize", tensorrt._UnreadableError), ("context", RuntimeError),
     ("launch", RuntimeError)],
)  # fmt: skip
def test_what_else_tensorrt_says_is_in_the_error(
    call: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
):
    fake = FakeTensorRt(call, "Error Code 1: Serialization (version tag does not match)\nmore")
    with pytest.raises(kind, match=r": Error Code 1: .* does not match\)$") as error:
        load_and_run(fake, monkeypatch)
    assert not isinstance(error.value, torch.OutOfMemoryError)


class Factory:
    """Stands where TensorRT stands: "engines" are pickled networks that take one shape only."""

    def __init__(self) -> None:
        self.built: list[tuple[int, torch.dtype]] = []
        self.broken: set[torch.dtype] = set()
        self.refused: list[bytes] = []
        self.room = BUCKETS[-1]

    def build(self, network: nn.Module, crops: torch.Tensor) -> bytes:
        self.built.append((len(crops), crops.dtype))
        assert next(network.parameters()).dtype == crops.dtype
        stored = io.BytesIO()
        # run in float32, which a CPU is quicker at
        torch.save((network.float(), tuple(crops.shape), crops.dtype in self.broken), stored)
        return stored.getvalue()

    def load(self, serialized: bytes, device: str) -> "Running":
        if serialized in self.refused:
            self.refused.remove(serialized)
            raise tensorrt._UnreadableError("TensorRT does not accept it")
        running = Running(serialized)
        if running.shape[0] > self.room:
            raise torch.OutOfMemoryError("TensorRT does not accept it: out of memory")
        return running


class Running:
    def __init__(self, serialized: bytes) -> None:
        self.network, self.shape, self.broken = torch.load(
            io.BytesIO(serialized), weights_only=False
        )

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        assert tuple(crops.shape) == self.shape
        heatmaps: torch.Tensor = self.network(crops.float())
        return heatmaps * float("nan") if self.broken else heatmaps


class Recorded:
    """Stands where a CUDA graph stands."""

    def __init__(self, network: Running, example: torch.Tensor, pool: None) -> None:
        self.network, self.inputs = network, example
        network(example)

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.inputs[: len(crops)].copy_(crops)
        return self.network(self.inputs)[: len(crops)]


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Factory:
    made = Factory()
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(tensorrt, "build", made.build)
    monkeypatch.setattr(tensorrt, "_Running", made.load)
    monkeypatch.setattr(tensorrt, "CudaGraph", Recorded)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device(device))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(tensorrt, "tensorrt_packages", lambda: {"tensorrt": "10.15"})
    return made


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return small_nano()


def small_nano() -> Checkpoint:
    """On smaller crops than it was trained for: quicker."""
    return replace(load_checkpoint(find_weights("nano")), input_size=64)


def crops(count: int, side: int = 64) -> torch.Tensor:
    torch.manual_seed(count)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)


def test_answers_are_the_eager_networks_at_any_number(factory: Factory, shipped: Checkpoint):
    engine = TensorRtEngine(shipped, "cpu", flip_test=True)
    reference = EagerEngine(shipped, flip_test=True)
    size = shipped.input_size
    assert parity.check(reference, engine, size).holds
    for count in (0, 1, 3):
        want = reference(crops(count, size))
        torch.testing.assert_close(engine(crops(count, size)), want, rtol=0.1, atol=0.01)
    assert factory.built == [(16, torch.half), (1, torch.half), (4, torch.half)]


def test_an_engine_that_cannot_be_recorded_runs_as_it_is(
    factory: Factory,
    shipped: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    want = TensorRtEngine(shipped, "cpu")(crops(3))

    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(tensorrt, "CudaGraph", refuse)
    torch.testing.assert_close(TensorRtEngine(shipped, "cpu")(crops(3)), want)
    assert "cannot be recorded as a CUDA graph (operation not permitted" in caplog.text


def test_the_second_time_nothing_is_built(factory: Factory, shipped: Checkpoint):
    first = TensorRtEngine(shipped, "cpu")
    want = first(parity.real_crops(shipped.input_size)[:2])
    assert len(factory.built) == 1
    again = TensorRtEngine(shipped, "cpu")
    assert torch.equal(again(parity.real_crops(shipped.input_size)[:2]), want)
    assert len(factory.built) == 1
    TensorRtEngine(shipped, "cpu", flip_test=True)(crops(2, shipped.input_size))
    assert len(factory.built) == 2


def test_changed_weights_are_built_anew(factory: Factory):
    for scale in (1.0, 1.01):
        checkpoint = small_nano()
        with torch.no_grad():
            checkpoint.network.heads[-1].weight.mul_(scale)
        TensorRtEngine(checkpoint, "cpu")(crops(1, checkpoint.input_size))
    assert len(factory.built) == 2


def test_a_damaged_engine_is_built_again(
    factory: Factory, shipped: Checkpoint, caplog: pytest.LogCaptureFixture
):
    TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))
    (entry,) = entries()
    path = entry.folder / "engine.trt"
    path.write_bytes(path.read_bytes()[:-10])
    TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))
    assert "is damaged and made again" in caplog.text
    assert len(factory.built) == 2


def test_a_verdict_of_other_words_is_made_again(
    factory: Factory,
    shipped: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def write_as_another_version(folder: Path, built: tensorrt.Built) -> None:
        (folder / "engine.trt").write_bytes(built.serialized)
        (folder / "parity.json").write_text('{"verdict": "fine"}')

    with monkeypatch.context() as other_version:
        other_version.setattr(tensorrt, "_write", write_as_another_version)
        TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))
    TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))
    assert "is damaged (Parity.__init__() got an unexpected" in caplog.text
    assert len(factory.built) == 2


def test_an_engine_that_tensorrt_refuses_is_built_again(
    factory: Factory, shipped: Checkpoint, caplog: pytest.LogCaptureFixture
):
    TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))
    (entry,) = entries()
    factory.refused.append((entry.folder / "engine.trt").read_bytes())
    TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))
    assert "is unreadable" in caplog.text
    assert len(factory.built) == 2


def test_an_engine_that_finds_no_room_is_kept_and_smaller_ones_are_used(
    factory: Factory, shipped: Checkpoint, caplog: pytest.LogCaptureFixture
):
    TensorRtEngine(shipped, "cpu")(crops(4))
    factory.room = 2
    assert len(TensorRtEngine(shipped, "cpu")(crops(4))) == 4
    assert [size for size, _ in factory.built] == [4, 2]
    assert len(list(entries())) == 2
    assert "out of GPU memory with 4 people at once: going on with 2" in caplog.text


def test_what_a_failed_attempt_to_build_holds_is_given_back_before_the_next(
    factory: Factory, shipped: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    tried: list[weakref.ref[nn.Module]] = []

    def build(network: nn.Module, crops: torch.Tensor) -> bytes:
        if not tried:
            tried.append(weakref.ref(network))
            errors = [torch.OutOfMemoryError("TensorRT: out of memory")]
            raise errors[0]  # whose traceback has this frame, which has the error
        assert tried[0]() is None
        return factory.build(network, crops)

    monkeypatch.setattr(tensorrt, "build", build)
    gc.disable()
    try:
        TensorRtEngine(shipped, "cpu")(crops(2))
    finally:
        gc.enable()


def test_a_refused_engine_that_cannot_be_removed_is_not_asked_for_again(
    factory: Factory, shipped: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    """A cache that may only be read."""
    TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))
    (entry,) = entries()
    factory.refused.append((entry.folder / "engine.trt").read_bytes())
    monkeypatch.setattr(tensorrt, "discard", lambda *_: None)
    with pytest.raises(RtposeError, match="the kept engine cannot be removed"):
        TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))


def test_where_half_precision_fails_single_is_used_and_it_is_said_and_remembered(
    factory: Factory, shipped: Checkpoint, caplog: pytest.LogCaptureFixture
):
    factory.broken = {torch.half}
    engine = TensorRtEngine(shipped, "cpu")
    heatmaps = engine(crops(2, shipped.input_size))
    torch.testing.assert_close(heatmaps, EagerEngine(shipped)(crops(2, shipped.input_size)))
    assert engine.precision == "fp32"
    assert "in fp16 the answers are not those of fp32 (some heatmaps are not finite" in caplog.text
    assert factory.built == [(2, torch.half), (2, torch.float)]
    again = TensorRtEngine(shipped, "cpu")
    again(crops(2, shipped.input_size))
    assert again.precision == "fp32" and len(factory.built) == 2


def test_where_single_precision_fails_too_it_is_an_error(factory: Factory, shipped: Checkpoint):
    factory.broken = {torch.half, torch.float}
    with pytest.raises(RtposeError, match="not those of eager, also in fp32"):
        TensorRtEngine(shipped, "cpu")(crops(1, shipped.input_size))


def test_warm_up_builds_every_size_and_says_how_long(
    factory: Factory, shipped: Checkpoint, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, logger="rtpose.engines"):
        TensorRtEngine(shipped, "cpu").warm_up()
    assert [size for size, _ in factory.built] == list(BUCKETS)
    assert "building the fp16 engine for 32 people (6 of 6)" in caplog.text
    assert caplog.text.count("tensorrt: built in") == len(BUCKETS)


def test_warm_up_leaves_no_size_to_be_built_when_precision_falls_on_the_way(
    factory: Factory, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    good, bad = parity.Parity(1, 0.0, 0.0, 1.0, True), parity.Parity(0, 0.0, 0.0, 0.0, False)

    def check(engine: TensorRtEngine, serialized: bytes, size: int) -> parity.Parity:
        return bad if (engine.precision, size) == ("fp16", 4) else good

    monkeypatch.setattr(TensorRtEngine, "_check", check)
    engine = TensorRtEngine(tiny, "cpu")
    engine.warm_up()
    built = len(factory.built)
    for size in BUCKETS:
        engine(crops(size))
    assert engine.precision == "fp32" and len(factory.built) == built
    # each once
    assert sorted(factory.built, key=str) == sorted(
        [(size, torch.half) for size in (1, 2, 4)] + [(size, torch.float) for size in BUCKETS],
        key=str,
    )


def test_the_key_names_all_that_an_engine_depends_on(factory: Factory):
    assert engine_key("abc", (8, 3, 256, 256), "fp16", "cuda") == {
        "gpu": "NVIDIA H100",
        "compute capability": "9.0",
        "network": "abc",
        "shape": "8x3x256x256",
        "precision": "fp16",
        "recipe": f"{tensorrt._RECIPE}, {parity.RECIPE}",
        "torch": version("torch"),
        "tensorrt": "10.15",
    }


def test_the_checkpoint_is_not_halved(factory: Factory, tiny: Checkpoint):
    before = EagerEngine(tiny)(crops(1))
    TensorRtEngine(tiny, "cpu")(crops(1))
    assert torch.equal(EagerEngine(tiny)(crops(1)), before)


class Converter:
    """Stands where torch_tensorrt stands, and fails as it does: logs, and wraps the cause."""

    def __init__(self, cause: Exception | None = None) -> None:
        self.cause = cause
        self.settings: dict[str, object] = {}

    def __call__(self, exported: object, **settings: object) -> bytes:
        self.settings = settings
        if self.cause is not None:
            logging.getLogger("torch_tensorrt.dynamo._compiler").error("Traceback and more")
            raise RuntimeError(f"While interpreting: {self.cause}\nand more") from self.cause
        Path(str(settings["timing_cache_path"])).write_bytes(b"times")
        return b"engine"


def convert(converter: Converter, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What `build` makes of a small network with it."""
    dynamo = SimpleNamespace(convert_exported_program_to_serialized_trt_engine=converter)
    module = SimpleNamespace(dynamo=dynamo, Device=lambda gpu_id: gpu_id)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", module)
    return tensorrt.build(nn.Conv2d(1, 1, 1).eval(), torch.zeros(1, 1, 4, 4))


def test_building_rounds_no_float32_and_shares_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    converter = Converter()
    for _ in range(2):
        assert convert(converter, monkeypatch) == b"engine"
        assert converter.settings["disable_tf32"] is True
        folder = Path(str(converter.settings["timing_cache_path"])).parent
        assert folder.parent == tmp_path and not folder.exists()


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(ValueError("no converter for aten.foo\nand more"), "no converter for aten.foo"),
     (NotImplementedError(), "NotImplementedError")],
)  # fmt: skip
def test_what_cannot_be_converted_is_one_line(
    cause: Exception,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    with pytest.raises(RtposeError) as error:
        convert(Converter(cause), monkeypatch)
    assert f"cannot be converted ({reason}); use --engine graphs" in str(error.value)
    assert "Traceback" not in caplog.text
    logging.getLogger("torch_tensorrt").error("heard again")
    assert "heard again" in caplog.text


def swallowing(cause: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch-tensorrt 2.11: why nothing can be built is logged, and then nothing is there."""

    def convert_(*_: object, **__: object) -> bytes:
        try:
            raise cause
        except Exception as error:
            logger = logging.getLogger("torch_tensorrt.dynamo._compiler")
            logger.error("While interpreting: %s", error, exc_info=True)
        raise UnboundLocalError("cannot access local variable 'interpreter_result'")

    convert(convert_, monkeypatch)  # type: ignore[arg-type]


def test_what_is_only_logged_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(RtposeError, match=r"cannot be converted \(no converter for aten\.foo\)"):
        swallowing(ValueError("no converter for aten.foo\nand more"), monkeypatch)
    assert "While interpreting" not in caplog.text
    logging.getLogger("torch_tensorrt.dynamo._compiler").error("heard again")
    assert "heard again" in caplog.text


def test_lack_of_memory_that_is_only_logged_is_raised(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RuntimeError, match="out of memory"):
        swallowing(RuntimeError("CUDA error: out of memory"), monkeypatch)


TENSORRT = logging.getLogger("torch_tensorrt [TensorRT Conversion Context]")


class Unbuilt:
    """As torch-tensorrt where TensorRT builds nothing: ``assert cuda_engine``, in both versions."""

    def __init__(self, *said: str) -> None:
        self.said = said

    def __call__(self, *_: object, **__: object) -> bytes:
        for words in self.said:
            TENSORRT.error(words)
        try:
            raise AssertionError
        except AssertionError as error:
            raise RuntimeError(f"While interpreting the module got an error: {error}") from error


def test_nothing_built_for_lack_of_memory_is_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    said = "Error Code 2: OutOfMemory (no further information)", "Could not find any implementation"
    with pytest.raises(torch.OutOfMemoryError, match="OutOfMemory"):
        convert(Unbuilt(*said), monkeypatch)  # type: ignore[arg-type]
    assert "OutOfMemory" not in caplog.text
    TENSORRT.error("heard again")
    assert "heard again" in caplog.text


def test_nothing_built_is_said_in_tensorrts_words(monkeypatch: pytest.MonkeyPatch):
    said = "Error Code 10: Internal Error (Could not find any implementation for node x.)\nmore"
    with pytest.raises(RtposeError, match=r"cannot be converted \(Error Code 10: .* node x\.\)\);"):
        convert(Unbuilt(said), monkeypatch)  # type: ignore[arg-type]


def test_nothing_built_without_a_word_blames_neither_network_nor_memory(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (300_000_000, 80_000_000_000))
    with pytest.raises(RtposeError) as error:
        convert(Unbuilt(), monkeypatch)  # type: ignore[arg-type]
    assert "does not say why; 0.3 of 80.0 GB of GPU memory are free" in str(error.value)
    assert "cannot be converted" not in str(error.value)


def test_lack_of_memory_while_building_is_not_a_network_that_cannot_be_converted(
    monkeypatch: pytest.MonkeyPatch,
):
    with pytest.raises(RuntimeError, match="While interpreting"):
        convert(Converter(RuntimeError("CUDA error: out of memory")), monkeypatch)
