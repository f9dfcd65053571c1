"""bfloat16 is used only where it is quicker, and that is measured once."""

from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from rtpose import cpu_precision as module
from rtpose.cpu_precision import cpu_precision, measure
from rtpose.errors import RtposeError


@pytest.fixture
def seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, float]]]:
    """Measurements to come, last first, on a processor that has bfloat16; those left were not."""
    to_come: list[dict[str, float]] = []
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(module, "capabilities", lambda: ("FP32", "BF16"))
    monkeypatch.setattr(module, "measure", to_come.pop)
    module._quicker.cache_clear()
    yield to_come
    module._quicker.cache_clear()


@pytest.mark.parametrize(("bf16", "chosen"), [(0.5, "bf16"), (0.95, "fp32"), (1.4, "fp32")])
def test_the_quicker_is_chosen_and_measured_once(
    seconds: list[dict[str, float]], bf16: float, chosen: str
):
    seconds.append({"fp32": 1.0, "bf16": bf16})
    assert cpu_precision() == chosen
    module._quicker.cache_clear()  # as in the next process
    assert cpu_precision() == chosen


def test_another_machine_of_the_same_name_is_measured_again(
    seconds: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
):
    seconds += [{"fp32": 1.0, "bf16": 0.5}, {"fp32": 1.0, "bf16": 1.4}]
    assert cpu_precision() == "fp32"
    module._quicker.cache_clear()
    monkeypatch.setattr(module, "capabilities", lambda: ("FP32", "BF16", "AMX_BF16"))
    assert cpu_precision() == "bf16"


def test_without_bfloat16_nothing_is_measured(
    seconds: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "capabilities", lambda: ("FP32", "INT8"))
    assert cpu_precision() == "fp32"


def test_what_was_asked_for_is_given_or_refused(seconds: list[dict[str, float]]):
    assert cpu_precision("bf16") == "bf16"
    assert cpu_precision("fp32") == "fp32"
    with pytest.raises(RtposeError, match="fp32 or bf16, not in int8"):
        cpu_precision("int8")


def test_both_are_measured():
    assert measure().keys() == {"fp32", "bf16"}
    assert all(0 < value < 60 for value in measure().values())
