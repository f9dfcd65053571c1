"""The quickest precision is used, as long as its answers are those of the eager network."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
import torch

from rtpose import cpu_precision
from rtpose.cache import entries
from rtpose.checkpoint import Checkpoint, load_checkpoint
from rtpose.cpu_precision import EIGHT_BITS
from rtpose.engines import openvino, parity
from rtpose.engines.openvino import OpenVinoEngine
from rtpose.engines.parity import Parity
from rtpose.errors import RtposeError
from rtpose.network import eight_bit_convolutions
from rtpose.openvino_model import compile_for_cpu
from rtpose.quantised import watch_inputs
from rtpose.shipped import find_weights

RIGHT = Parity(100, 0.2, 4.0, 0.9, finite=True)
WRONG = replace(RIGHT, apart_px=0.7)
CROPS = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)


@pytest.fixture(scope="module")
def measured(tiny: Checkpoint) -> Checkpoint:
    """A network that can be computed in eight bits."""
    names = eight_bit_convolutions(tiny.network)
    with watch_inputs(tiny.network, names) as seen, torch.inference_mode():
        tiny.network(CROPS)
    peaks = {name: float(torch.cat(each)[:, 1].mean()) for name, each in seen.items()}
    return replace(tiny, peaks=peaks)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Parity]]:
    """Verdicts to give, last first, where each precision is twice as quick as the one before.

    All must be asked for.
    """
    verdicts: list[Parity] = []
    seconds = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "int8+bf16": 0.5}
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(cpu_precision, "capabilities", lambda: ("FP32", "BF16"))
    monkeypatch.setattr(
        openvino,
        "time_precisions",
        lambda network, names, *_: {n: seconds[n] for n in names},
    )
    monkeypatch.setattr(parity, "check", lambda *_: verdicts.pop())
    yield verdicts
    assert verdicts == []


def test_the_answers_are_checked_once(asked: list[Parity], tiny: Checkpoint):
    asked.append(RIGHT)
    assert OpenVinoEngine(tiny).precision == "bf16"
    assert OpenVinoEngine(tiny).precision == "bf16"


def test_a_verdict_of_another_recipe_is_not_taken(
    asked: list[Parity], tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    asked += [WRONG, RIGHT]
    assert OpenVinoEngine(tiny).precision == "bf16"
    monkeypatch.setattr(parity, "RECIPE", "another")
    assert OpenVinoEngine(tiny).precision == "fp32"


def test_a_verdict_of_other_words_is_damaged(
    asked: list[Parity],
    tiny: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    asked += [RIGHT, RIGHT]
    with monkeypatch.context() as patch:
        patch.setattr(
            cpu_precision, "vars", lambda _: {"joints": 1, "farthest": 2.0}, raising=False
        )
        OpenVinoEngine(tiny)
    assert OpenVinoEngine(tiny).precision == "bf16"
    assert (
        "is damaged (Parity.__init__() got an unexpected" in caplog.text
        and "made again" in caplog.text
    )


def test_the_quickest_is_used(asked: list[Parity], measured: Checkpoint):
    asked.append(RIGHT)
    assert OpenVinoEngine(measured).precision == "int8+bf16"


def test_after_one_that_answers_otherwise_comes_the_next(
    asked: list[Parity], measured: Checkpoint, caplog: pytest.LogCaptureFixture
):
    asked += [RIGHT, WRONG]
    assert OpenVinoEngine(measured).precision == "int8"
    assert "in int8+bf16 the answers are not those of fp32 (100 joints" in caplog.text


def test_in_the_end_it_is_fp32(
    asked: list[Parity], tiny: Checkpoint, caplog: pytest.LogCaptureFixture
):
    asked.append(WRONG)
    for _ in range(2):
        engine = OpenVinoEngine(tiny)
        assert engine.precision == "fp32"
    assert "in bf16 the answers are not those of fp32 (100 joints" in caplog.text
    with torch.inference_mode():
        want = tiny.network(CROPS)
    torch.testing.assert_close(engine(CROPS), want, rtol=1e-3, atol=1e-5)


def test_a_precision_that_was_named_is_not_questioned(asked: list[Parity], measured: Checkpoint):
    for name in ("fp32", "int8", "int8+bf16"):
        assert OpenVinoEngine(measured, name).precision == name
    assert not any("parity" in entry.key for entry in entries())


def test_what_cannot_be_computed_in_is_said(asked: list[Parity], tiny: Checkpoint):
    with pytest.raises(RtposeError, match="not in fp16"):
        OpenVinoEngine(tiny, "fp16")
    for name in EIGHT_BITS:
        with pytest.raises(RtposeError, match="never measured for int8: run python -m training c"):
            OpenVinoEngine(tiny, name)


@pytest.mark.parametrize("precision", EIGHT_BITS)
def test_eight_bits_answer_nearly_as_float(
    asked: list[Parity], measured: Checkpoint, precision: str
):
    have = OpenVinoEngine(measured, precision)(CROPS)
    with torch.inference_mode():
        want = measured.network(CROPS)
    assert not torch.equal(have, want)
    torch.testing.assert_close(have, want, rtol=0.5, atol=0.1 * float(want.max()))


def test_later_starts_answer_as_the_first(asked: list[Parity]):
    nano = load_checkpoint(find_weights("nano"))
    crops = parity.real_crops(nano.input_size)[:1]
    first = OpenVinoEngine(nano, "int8")(crops)
    compiled = [entry.folder for entry in entries() if "compiled" in entry.key]
    assert torch.equal(OpenVinoEngine(nano, "int8")(crops), first)
    assert compiled
    for folder in compiled:
        shutil.rmtree(folder)
    assert torch.equal(OpenVinoEngine(nano, "int8")(crops), first)


ON_AN_OLDER_PROCESSOR = """
from rtpose.checkpoint import load_checkpoint
from rtpose.engines import parity
from rtpose.engines.eager import EagerEngine
from rtpose.engines.openvino import OpenVinoEngine
from rtpose.shipped import find_weights
nano = load_checkpoint(find_weights("nano"))
print(parity.check(EagerEngine(nano, "cpu"), OpenVinoEngine(nano, "int8"), nano.input_size).holds)
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="no x86 processor")
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_eight_bits_hold_without_instructions_for_them(tmp_path: Path, instructions: str):
    """Before VNNI sums of two products could overflow: laptops of before 2020 are like that."""
    done = subprocess.run(
        [sys.executable, "-c", ON_AN_OLDER_PROCESSOR],
        capture_output=True, text=True, check=False,
        env=os.environ | {
            "ONEDNN_MAX_CPU_ISA": instructions,
            "XDG_CACHE_HOME": str(tmp_path),
            "PYTHONPATH": str(Path(__file__).parents[3]),
        },
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_a_few_crops_are_answered_by_few_threads_as_by_all(
    asked: list[Parity], tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    threads = []

    def spy(*args: object, **options: object) -> object:
        threads.append(options.get("threads"))
        return compile_for_cpu(*args, **options)

    monkeypatch.setattr(openvino, "compile_for_cpu", spy)
    few, all_cores = (OpenVinoEngine(tiny, "fp32", threads_for_few=n) for n in (1, None))
    assert threads == [None, 1, None, None]
    for count in (1, 2, 3):
        torch.testing.assert_close(
            few(CROPS[:count]), all_cores(CROPS[:count]), rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize("flip_test", [False, True])
def test_one_crop_is_answered_as_among_others(
    asked: list[Parity], tiny: Checkpoint, flip_test: bool
):
    """For one there is a graph of its own."""
    engine = OpenVinoEngine(tiny, "fp32", flip_test)
    together = engine(CROPS)
    for crop, heatmaps in zip(CROPS, together, strict=True):
        torch.testing.assert_close(engine(crop[None])[0], heatmaps, rtol=1e-3, atol=1e-5)
