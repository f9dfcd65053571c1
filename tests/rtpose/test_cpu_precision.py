"""The quickest precision is taken, and timed once."""

from pathlib import Path

import numpy as np
import platformdirs
import pytest

from rtpose import cpu_precision, openvino_model
from rtpose.cache import keep
from rtpose.cpu_precision import (
    check_precision,
    possible_precisions,
    time_precisions,
    worthwhile,
)
from rtpose.errors import RtposeError

PIXELS = np.zeros((1, 3, 8, 8), np.uint8)


class Request:
    """Answers whatever it is asked; the clock goes on by its seconds."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def infer(self, inputs: list[np.ndarray]) -> None:
        assert inputs[0] is PIXELS
        self.clock[0] += self.seconds


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(cpu_precision.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"fp32": 1.0}, "fp32"),
        ({"fp32": 1.0, "bf16": 0.5}, "bf16"),
        ({"fp32": 1.0, "bf16": 0.95}, "fp32"),
        ({"fp32": 1.0, "bf16": 1.4, "int8": 0.5}, "int8"),
        ({"fp32": 1.0, "bf16": 0.48, "int8": 0.5}, "int8"),
        ({"fp32": 1.0, "bf16": 0.3, "int8": 0.5}, "bf16"),
        ({"fp32": 1.0, "bf16": 0.85, "int8": 0.95}, "bf16"),
        ({"fp32": 1.0, "bf16": 0.55, "int8": 0.5, "int8+bf16": 0.4}, "int8+bf16"),
        ({"fp32": 1.0, "bf16": 0.55, "int8": 0.5, "int8+bf16": 0.47}, "int8"),
    ],
)
def test_a_less_exact_one_is_taken_only_if_clearly_quicker(seconds: dict[str, float], chosen: str):
    assert worthwhile(seconds) == chosen


def test_each_is_timed_once_and_another_machine_of_the_same_name_again(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
):
    def ask(**takes: float) -> dict[str, float]:
        return time_precisions("abc", list(takes), lambda p: Request(clock, takes[p]), PIXELS)

    monkeypatch.setattr(openvino_model, "capabilities", lambda: ("FP32", "BF16"))
    assert ask(fp32=2.0, bf16=3.0) == pytest.approx({"fp32": 2.0, "bf16": 3.0})
    assert ask(fp32=9.0, bf16=9.0) == pytest.approx({"fp32": 2.0, "bf16": 3.0})
    monkeypatch.setattr(openvino_model, "capabilities", lambda: ("FP32", "BF16", "AMX_BF16"))
    assert ask(fp32=2.0, bf16=1.0) == pytest.approx({"fp32": 2.0, "bf16": 1.0})


def test_a_slow_turn_does_not_count(clock: list[float]):
    class Stumbling(Request):
        def infer(self, inputs: list[np.ndarray]) -> None:
            super().infer(inputs)
            self.seconds = 1.0 if self.seconds != 1.0 else 7.0

    found = time_precisions("abc", ["fp32"], lambda _: Stumbling(clock, 30.0), PIXELS)
    assert found == pytest.approx({"fp32": 1.0})


def test_on_a_busy_machine_it_is_timed_again_next_time(clock: list[float]):
    class Busy(Request):
        def infer(self, inputs: list[np.ndarray]) -> None:
            super().infer(inputs)
            self.seconds *= 1.5

    assert time_precisions("abc", ["fp32"], lambda _: Busy(clock, 2.0), PIXELS)["fp32"] > 2.0
    quiet = time_precisions("abc", ["fp32"], lambda _: Request(clock, 1.0), PIXELS)
    assert quiet == pytest.approx({"fp32": 1.0})
    kept = time_precisions("abc", ["fp32"], lambda _: Request(clock, 5.0), PIXELS)
    assert kept == pytest.approx({"fp32": 1.0})


def write(folder: Path, text: str) -> None:
    (folder / "seconds.json").write_text(text)


@pytest.mark.parametrize("fault", ["recipe", "[1]", '{"bf16": 1}', "x"])
def test_seconds_of_another_kind_are_timed_again(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, fault: str
):
    def ask(seconds: float) -> dict[str, float]:
        return time_precisions("abc", ["fp32"], lambda _: Request(clock, seconds), PIXELS)

    if fault == "recipe":
        ask(1.0)
        monkeypatch.setattr(cpu_precision, "_RECIPE", "another")
    else:
        with monkeypatch.context() as patch:
            patch.setattr(
                cpu_precision,
                "keep",
                lambda kind, key, _: keep(kind, key, lambda made: write(made, fault)),
            )
            ask(1.0)
    assert ask(5.0) == pytest.approx({"fp32": 5.0})
    assert ask(9.0) == pytest.approx({"fp32": 5.0})


def test_what_does_not_exist_is_refused():
    check_precision("int8")
    with pytest.raises(RtposeError, match=r"computes in fp32, int8, bf16, int8\+bf16, not in fp16"):
        check_precision("fp16")


@pytest.mark.parametrize(
    ("has_bfloat16", "measured", "names"),
    [
        (False, False, ["fp32"]),
        (True, False, ["fp32", "bf16"]),
        (False, True, ["fp32", "int8"]),
        (True, True, ["fp32", "int8", "bf16", "int8+bf16"]),
    ],
)
def test_what_is_possible_goes_by_processor_and_network(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, measured: bool, names: list[str]
):
    found = ("FP32", "BF16") if has_bfloat16 else ("FP32",)
    monkeypatch.setattr(cpu_precision, "capabilities", lambda: found)
    assert possible_precisions(measured=measured) == names
