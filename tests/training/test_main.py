"""``python -m training`` as a user types it, on a tiny data set."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch

from rtpose.bench.evaluation import FLIC_TORSO
from rtpose.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rtpose.network import Architecture, DCHourglass
from rtpose.skeleton import SKELETONS
from training import __main__
from training.__main__ import main
from training.config import read_config
from training.train import build_network

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


def test_train_evaluate_go_on(
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
    assert read_config(run / "config.yaml") == read_config(config)
    for name in ("metrics.csv", "scores.csv", "last.pt"):
        assert (run / name).stat().st_size > 0, name
    for name in ("augmented.jpg", "predictions.jpg", "worst.jpg", "curves.png"):
        assert cv2.imread(str(run / name)).std() > 5, name
    assert list((run / "tensorboard").iterdir())

    calibrated = load_checkpoint(best)
    assert calibrated.calibration.slope != 1.0
    assert all(0 < peak < 1000 for peak in calibrated.peaks.values()) and calibrated.peaks
    # a shorter network's inputs are others
    assert (
        training(monkeypatch, "cut", best, "--out", tmp_path / "cut.safetensors", "--stacks", 1)
        == 0
    )
    assert load_checkpoint(tmp_path / "cut.safetensors").peaks == {}
    capfd.readouterr()
    assert training(monkeypatch, "evaluate", best, "--data", drawn_people) == 0
    assert "PCK@0.2, 12 joints" in capfd.readouterr().out

    # a run is not overwritten by accident
    assert training(monkeypatch, *words) == 2
    assert "holds a run already; give --resume" in capfd.readouterr().err
    # the same people, asked again after each stop, do not count as others
    assert training(monkeypatch, *words, "--resume") == 0
    again = load_checkpoint(best).calibration
    assert (again.slope, again.offset) == pytest.approx(
        (calibrated.calibration.slope, calibrated.calibration.offset), abs=0.01
    )
    # nor made longer or changed unnoticed
    config.write_text(TINY.replace("images: 8", "images: 16"))
    assert training(monkeypatch, *words, "--resume") == 2
    said = capfd.readouterr().err.replace("\n", " ")
    assert "phases[0]: images was 8, now 16" in said and "train --start" in said
    assert read_config(run / "config.yaml").phases[0].images == 8


def test_who_stops_before_the_first_weights_is_told(
    drawn_people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    config, run = tmp_path / "tiny.yaml", tmp_path / "runs" / "tiny"
    config.write_text(TINY)
    words = ("train", config, "--data", drawn_people, "--run", run)
    assert training(monkeypatch, *words, "--minutes", 0) == 0
    assert f"there is no {run / 'best.safetensors'} yet; --resume goes on" in caplog.text
    caplog.clear()
    assert training(monkeypatch, *words, "--resume") == 0
    assert (run / "best.safetensors").exists() and "--resume goes on" not in caplog.text


def test_a_run_goes_on_with_the_people_and_teachers_it_began_with(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
):
    config, run, weights = (tmp_path / name for name in ("tiny.yaml", "run", "net.safetensors"))
    config.write_text(TINY)
    save_checkpoint(weights, Checkpoint(*build_network(read_config(config)), 64))
    others = tmp_path / "others"
    shutil.copytree(drawn_people, others)
    shutil.copy(others / "train.json.gz", others / "val.json.gz")
    nets = ("--start", weights, "--teacher", weights)
    words = ("distill", config, "--run", run, *nets, "--minutes", 0)
    assert training(monkeypatch, *words, "--data", drawn_people) == 0
    again = (*words, "--resume", "--data")
    assert training(monkeypatch, *again, others) == 2
    assert training(monkeypatch, *again, drawn_people, "--share", 0.9) == 2
    said = capfd.readouterr().err.replace("\n", " ")
    assert "--data gives something else" in said and "--share gives something else" in said
    assert training(monkeypatch, *again, drawn_people) == 0


@pytest.mark.parametrize("name", ["coco17", "flic11"])
def test_a_network_without_head_top_is_scored_too(
    name: str, drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    skeleton, weights = SKELETONS[name], tmp_path / "net.safetensors"
    network = DCHourglass(Architecture(1, 8, len(skeleton), depth=2)).eval()
    save_checkpoint(weights, Checkpoint(network, skeleton, 64))
    assert training(monkeypatch, "evaluate", weights, "--data", drawn_people) == 0
    said = capfd.readouterr().out
    assert "PCK@0.2, all joints" in said and "PCKh" not in said
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY.replace("depth: 2", f"depth: 2, skeleton: {name}"))
    words = ("compare", config, "--data", drawn_people, "--run", tmp_path / "compared")
    assert training(monkeypatch, *words) == 2
    assert f"joints that {name} lacks (" in capfd.readouterr().err
    assert not (tmp_path / "compared").exists()


def test_a_skeleton_that_no_config_can_name_is_one_line(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY.replace("depth: 2", "depth: 2, skeleton: octopus"))
    words = ("train", config, "--data", drawn_people, "--run", tmp_path / "run")
    assert training(monkeypatch, *words) == 2
    assert "unknown skeleton 'octopus'" in capfd.readouterr().err


def test_calibrate_on_what_training_holds_back(
    drawn_people: Path, tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a set without a val split."""
    people, weights = tmp_path / "people", tmp_path / "net.safetensors"
    shutil.copytree(drawn_people, people)
    (people / "val.json.gz").unlink()
    save_checkpoint(weights, tiny)
    before, pixels = load_checkpoint(weights), torch.randint(0, 256, (2, 3, 64, 64))
    assert training(monkeypatch, "calibrate", weights, "--data", people) == 0
    calibrated = load_checkpoint(weights)
    assert calibrated.calibration.slope != 1.0
    with torch.no_grad():
        torch.testing.assert_close(
            calibrated.network(pixels), before.network(pixels), atol=1e-3, rtol=0
        )


def test_evaluate_measures_flic_in_its_own_torso(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other diagonal, as `rtpose bench` does."""
    skeleton, weights = SKELETONS["flic11"], tmp_path / "net.safetensors"
    network = DCHourglass(Architecture(1, 8, len(skeleton), depth=2)).eval()
    save_checkpoint(weights, Checkpoint(network, skeleton, 64))
    with h5py.File(tmp_path / "valid.h5", "w") as file:
        file["imgname"] = np.array([b"a.jpg"])
        file["center"], file["scale"] = np.array([[100.0, 100.0]]), np.array([1.0])
        file["part"] = np.random.default_rng(0).uniform(50, 150, (1, 11, 2))
        file["visible"] = np.ones((1, 11))
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.zeros((200, 200, 3), np.uint8))
    torsos: list[tuple[str, str]] = []
    monkeypatch.setattr(__main__, "score", lambda *_, torso: torsos.append(torso) or [])
    assert training(monkeypatch, "evaluate", weights, "--data", tmp_path) == 0
    assert torsos == [FLIC_TORSO]


def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    config = tmp_path / "typo.yaml"
    config.write_text(TINY + "bach: 3\n")
    code = training(monkeypatch, "train", config, "--data", tmp_path, "--run", tmp_path / "run")
    assert code == 2
    assert "did you mean 'batch'?" in capfd.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_grow(drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skeleton = SKELETONS["body21"]
    torch.manual_seed(0)
    network = DCHourglass(Architecture(1, 8, len(skeleton), depth=2)).eval()
    small, grown = tmp_path / "small.safetensors", tmp_path / "grown.safetensors"
    save_checkpoint(small, Checkpoint(network, skeleton, 64))
    words = ("grow", small, "--out", grown, "--stacks", 2, "--channels", 12)
    assert training(monkeypatch, *words) == 0
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY.replace("channels: 8", "channels: 12"))
    words = ("train", config, "--data", drawn_people, "--run", tmp_path / "run", "--start", grown)
    assert training(monkeypatch, *words) == 0


def test_cut(drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    skeleton = SKELETONS["body21"]
    network = DCHourglass(Architecture(3, 8, len(skeleton), depth=2)).eval()
    whole, short = tmp_path / "whole.safetensors", tmp_path / "short.safetensors"
    save_checkpoint(whole, Checkpoint(network, skeleton, 128))
    assert training(monkeypatch, "cut", whole, "--out", short, "--stacks", 2) == 0
    config, run = tmp_path / "tiny.yaml", tmp_path / "runs" / "tiny"
    config.write_text(TINY)
    words = ("distill", config, "--data", drawn_people, "--run", run)
    # the teachers are used to crops of another size than the student's
    words += ("--start", short, "--teacher", whole, "--teacher", short)
    assert training(monkeypatch, *words) == 0
    assert load_checkpoint(run / "best.safetensors").network.architecture.stacks == 2
    assert training(monkeypatch, "cut", whole, "--out", short, "--stacks", 4) == 2
    assert "give 1 to 3" in capfd.readouterr().err


def test_distill(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    config, run = tmp_path / "tiny.yaml", tmp_path / "runs" / "tiny"
    config.write_text(TINY)
    student = run / "best.safetensors"
    assert training(monkeypatch, "train", config, "--data", drawn_people, "--run", run) == 0
    words = ("distill", config, "--data", drawn_people, "--teacher", student, "--start", student)
    taught = tmp_path / "runs" / "taught"
    assert training(monkeypatch, *words, "--run", taught) == 0
    assert load_checkpoint(taught / "best.safetensors").network.architecture.channels == 8

    squares = tmp_path / "squares.yaml"
    squares.write_text(TINY + "loss: mse\n")
    words = (words[0], squares, *words[2:])
    assert training(monkeypatch, *words, "--run", tmp_path / "runs" / "squares") == 2
    assert "set loss: cross_entropy" in capfd.readouterr().err


def test_compare(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    config, run = tmp_path / "tiny.yaml", tmp_path / "compared"
    config.write_text(TINY.replace("stacks: 2", "stacks: 3"))
    words = ("compare", config, "--data", drawn_people, "--run", run, "--splits", "val")
    assert training(monkeypatch, *words, "--variants", "chain,dense", "--seeds", "0,1") == 0
    shown = capfd.readouterr().out
    assert "chain" in shown and "dense" in shown and "Ankle" in shown
    results = json.loads((run / "compare.json").read_text())
    assert [(r["variant"], r["seed"]) for r in results] == [
        ("chain", 0), ("chain", 1), ("dense", 0), ("dense", 1)
    ]  # fmt: skip
    sizes = {r["variant"]: r["parameters"] for r in results}
    assert sizes["dense"] - sizes["chain"] == (8 + 21) * 8  # one long link, from first to third

    done = (run / "chain-0" / "best.safetensors").stat().st_mtime_ns
    assert training(monkeypatch, *words, "--variants", "chain", "--seeds", "0") == 0
    assert (run / "chain-0" / "best.safetensors").stat().st_mtime_ns == done

    # nor is what was scored shown as another config's, or as of other people
    given = run / "chain-0" / "given.json"
    before = given.read_text()
    given.write_text(json.dumps({"--data": "others"}))
    assert training(monkeypatch, *words, "--variants", "chain", "--seeds", "0") == 2
    assert "--data gives something else than when this run" in capfd.readouterr().err.replace(
        "\n", " "
    )
    given.write_text(before)
    config.write_text(config.read_text() + "loss: mse\n")
    assert training(monkeypatch, *words, "--variants", "chain", "--seeds", "2") == 2
    assert "loss was 'cross_entropy', now 'mse'" in capfd.readouterr().err.replace("\n", " ")
    assert not (run / "chain-2").exists()
    words = (*words[:3], drawn_people, "--run", tmp_path / "another", "--splits", "val,tset")
    assert training(monkeypatch, *words) == 2
    assert "no split 'tset'" in capfd.readouterr().err
    assert not (tmp_path / "another").exists()

    assert training(monkeypatch, *words, "--variants", "chian") == 2
    assert "unknown variant 'chian'" in capfd.readouterr().err
    assert training(monkeypatch, *words, "--seeds", "one") == 2
    assert "give whole numbers" in capfd.readouterr().err


def test_data(drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    assert training(monkeypatch, "data", drawn_people) == 0
    assert "COCO keypoints" in capfd.readouterr().out
    assert training(monkeypatch, "data", tmp_path) == 2
    assert "no labels found" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["train", "distill", "compare", "evaluate"])
def test_a_missing_gpu_is_said_before_anything_is_read(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words: list[object] = [command, tmp_path / "gone", "--data", tmp_path, "--device", "cuda"]
    if command != "evaluate":
        words += ["--run", tmp_path / "run"]
    if command == "distill":
        words += ["--teacher", tmp_path / "gone", "--start", tmp_path / "gone"]
    assert training(monkeypatch, *words) == 2
    assert "error: device cuda: PyTorch" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_lack_of_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(__main__, "fit", fail)
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY)
    words = ("train", config, "--data", tmp_path, "--run", tmp_path / "run")
    assert training(monkeypatch, *words) == 2
    said = capfd.readouterr().err
    assert said.startswith("error: out of memory: close other programs")
    assert said.count("\n") == 1

    def bug(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(__main__, "fit", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        main()
