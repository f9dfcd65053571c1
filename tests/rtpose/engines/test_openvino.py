"""bfloat16 is used only where its answers are those of the eager network."""

from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
import torch

from rtpose.cache import entries
from rtpose.checkpoint import Checkpoint
from rtpose.engines import openvino, parity
from rtpose.engines.openvino import OpenVinoEngine
from rtpose.engines.parity import Parity

RIGHT = Parity(100, 0.2, 4.0, 0.9, finite=True)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Parity]:
    """Verdicts to give, last first, on a processor that has bfloat16; those left were not asked."""
    verdicts: list[Parity] = []
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(openvino, "cpu_precision", lambda asked: asked or "bf16")
    monkeypatch.setattr(parity, "check", lambda *_: verdicts.pop())
    return verdicts


def test_bf16_is_checked_once(asked: list[Parity], tiny: Checkpoint):
    asked.append(RIGHT)
    assert OpenVinoEngine(tiny).precision == "bf16"
    assert OpenVinoEngine(tiny).precision == "bf16"
    assert asked == []


def test_bf16_that_answers_otherwise_is_not_used_and_it_is_said(
    asked: list[Parity], tiny: Checkpoint, caplog: pytest.LogCaptureFixture
):
    asked.append(replace(RIGHT, apart_px=0.7))
    for _ in range(2):
        engine = OpenVinoEngine(tiny)
        assert engine.precision == "fp32"
    assert "in bf16 the answers are not those of fp32 (100 joints" in caplog.text
    crops = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        want = tiny.network(crops)
    torch.testing.assert_close(engine(crops), want, rtol=1e-3, atol=1e-5)


def test_a_precision_that_was_named_is_not_questioned(asked: list[Parity], tiny: Checkpoint):
    assert OpenVinoEngine(tiny, "fp32").precision == "fp32"
    assert not any("parity" in entry.key for entry in entries())


@pytest.mark.parametrize("flip_test", [False, True])
def test_one_crop_is_answered_as_among_others(
    asked: list[Parity], tiny: Checkpoint, flip_test: bool
):
    """For one there is a graph of its own."""
    engine = OpenVinoEngine(tiny, "fp32", flip_test)
    crops = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    together = engine(crops)
    for crop, heatmaps in zip(crops, together, strict=True):
        torch.testing.assert_close(engine(crop[None])[0], heatmaps, rtol=1e-3, atol=1e-5)
