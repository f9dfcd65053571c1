from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from rtpose.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rtpose.datasets.coco import read_coco
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.network import Architecture, DCHourglass
from rtpose.skeleton import BODY21
from training.config import DataConfig, parse
from training.fit import check_sources, fit, measured_sources
from training.run import RunFolder, read_rows


@pytest.fixture()
def people(drawn_people: Path) -> People:
    """Four of one source and four of another."""
    read = read_coco(drawn_people / "val.json.gz", BODY21)
    return replace(read, sources=("street",) * 4 + ("studio",) * 4)


def test_sources_that_nobody_is_of_are_said(people: People, caplog: pytest.LogCaptureFixture):
    check_sources(DataConfig({"street": 2.0}, disputed=("studio",)), people)
    assert not caplog.messages
    check_sources(DataConfig({"stret": 2.0}, disputed=("studios",)), people)
    assert [m.partition("is of ")[2] for m in caplog.messages] == [
        "'stret'; nearest: 'street'", "'studios'; nearest: 'studio'"
    ]  # fmt: skip


def test_nobody_to_draw(people: People):
    check_sources(DataConfig({"street": 0.0}), people)
    with pytest.raises(
        RtposeError, match=r"all of the people's sources \(street, studio\) weigh 0"
    ):
        check_sources(DataConfig({"street": 0.0, "studio": 0.0}), people)


def test_who_can_be_scored_is_known_before_training(people: People):
    """PCK is measured in the torso: of people without one, nothing can be said."""
    assert measured_sources(people, BODY21) == ["street", "studio"]
    hip, labelled = BODY21.index["left_hip"], people.labelled.copy()
    labelled[:4, hip] = False
    assert measured_sources(replace(people, labelled=labelled), BODY21) == ["studio"]
    labelled[:, hip] = False
    with pytest.raises(RtposeError, match="nobody to choose weights by"):
        measured_sources(replace(people, labelled=np.array(labelled)), BODY21)


def test_a_wrong_size_is_said_before_pictures_are_read(tmp_path: Path):
    wrong = {"network": {"stacks": 1, "channels": 8}, "phases": [{"size": 100, "images": 4}]}
    with pytest.raises(RtposeError, match="size 100 is no multiple of 64"):
        fit(parse(wrong, "wrong"), tmp_path / "no data", RunFolder(tmp_path), False)


def test_weights_that_nothing_better_came_of_are_kept_and_that_is_said(
    drawn_people: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings = {
        "network": {"stacks": 1, "channels": 8, "depth": 2},
        "batch": 4,
        "phases": [{"size": 64, "images": 4}],
        "optimiser": {"rate": 1000.0, "warmup_steps": 1, "clip_norm": 1e9},
    }
    torch.manual_seed(1)
    network = DCHourglass(Architecture(1, 8, len(BODY21), depth=2))
    start = Checkpoint(network, BODY21, 64, about={"data": "elsewhere"})
    save_checkpoint(tmp_path / "start.safetensors", start)
    folder = RunFolder(tmp_path / "run")
    config = parse(settings, "wild")
    fit(config, drawn_people, folder, False, tmp_path / "start.safetensors")
    assert "holds the weights it began with: none that were scored since are better" in caplog.text
    assert load_checkpoint(folder.best).about["data"] == "elsewhere"
    kept = load_checkpoint(folder.best).network.state_dict()
    for name, tensor in start.network.state_dict().items():
        torch.testing.assert_close(kept[name], tensor, atol=1e-3, rtol=1e-3)


def test_curves_show_the_last_scores_too(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[list[str]] = []
    monkeypatch.setattr(
        "training.fit.draw_curves",
        lambda run, out: drawn.append([row["step"] for row in read_rows(run.scores)]),
    )
    settings = {
        "network": {"stacks": 1, "channels": 8, "depth": 2},
        "batch": 4,
        "phases": [{"size": 64, "images": 8}],
    }
    fit(parse(settings, "short"), drawn_people, RunFolder(tmp_path / "run"), False)
    assert drawn[-1] == ["2"]


def test_numbers_beyond_half_precision_are_kept(
    drawn_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A network whose last features grew so large is written."""
    # what it becomes counts as better than what it was, whose statistics are not its own
    better = count(1.0)
    monkeypatch.setattr("rtpose.metrics.Pck.overall", property(lambda _: next(better)))
    settings = {
        "network": {"stacks": 1, "channels": 8, "depth": 2},
        "batch": 4,
        "phases": [{"size": 64, "images": 4}],
        "optimiser": {"rate": 0.0, "warmup_steps": 1},
    }
    config = parse(settings, "large")
    network = DCHourglass(Architecture(1, 8, len(BODY21), depth=2))
    with torch.no_grad():
        network.features[0][1].weight *= 10_000  # type: ignore[index]
    save_checkpoint(tmp_path / "start.safetensors", Checkpoint(network, BODY21, 64))
    folder = RunFolder(tmp_path / "run")
    fit(config, drawn_people, folder, False, tmp_path / "start.safetensors")
    kept = load_checkpoint(folder.best).network
    assert kept.features[0][1].weight.abs().max() < 100  # type: ignore[index,union-attr,operator]
    assert all(tensor.isfinite().all() for tensor in kept.state_dict().values())
