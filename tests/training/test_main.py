"""``python -m training`` as a user types it, on a tiny data set."""

import sys
from pathlib import Path

import pytest

from rtpose.checkpoint import load_checkpoint
from training.__main__ import main

TINY = """
network: {stacks: 2, channels: 8, depth: 2}
batch: 4
phases: [{size: 64, images: 8}]
"""


def training(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["training", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_train_calibrate_evaluate(
    drawn_people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("COLUMNS", "200")
    config, run = tmp_path / "tiny.yaml", tmp_path / "runs" / "tiny"
    config.write_text(TINY)
    words = ("train", config, "--data", drawn_people, "--run", run)
    assert training(monkeypatch, *words) == 0
    best = run / "best.safetensors"
    assert load_checkpoint(best).input_size == 64
    assert (run / "config.yaml").read_text() == TINY

    assert training(monkeypatch, "calibrate", best, "--data", drawn_people) == 0
    assert load_checkpoint(best).calibration.slope != 1.0
    capfd.readouterr()
    assert training(monkeypatch, "evaluate", best, "--data", drawn_people) == 0
    assert "PCK@0.2, 12 joints" in capfd.readouterr().out

    # a run is not overwritten by accident
    assert training(monkeypatch, *words) == 2
    assert "holds a run already; give --resume" in capfd.readouterr().err


def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    config = tmp_path / "typo.yaml"
    config.write_text(TINY + "bach: 3\n")
    code = training(monkeypatch, "train", config, "--data", tmp_path, "--run", tmp_path / "run")
    assert code == 2
    assert "did you mean 'batch'?" in capfd.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_data(drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    assert training(monkeypatch, "data", drawn_people) == 0
    assert "COCO keypoints" in capfd.readouterr().out
    assert training(monkeypatch, "data", tmp_path) == 2
    assert "no labels found" in capfd.readouterr().err
