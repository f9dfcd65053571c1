from pathlib import Path

import pytest
import torch
import yaml

from rtpose.errors import RtposeError
from training.config import (
    OptimiserConfig,
    first_difference,
    parse,
    read_config,
    write_config,
)
from training.train import build_network

GOOD = {"network": {"stacks": 3, "channels": 64}, "phases": [{"size": 128, "images": 10}]}
CONFIGS = sorted((Path(__file__).parents[2] / "training" / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_configs_that_come_along_are_right(path: Path):
    """Each names a network that can be built and crops that it can take."""
    config = read_config(path)
    with torch.device("meta"):
        network, skeleton = build_network(config)
        for phase in config.phases:
            pictures = torch.zeros(1, 3, phase.size, phase.size, dtype=torch.uint8)
            side = phase.size // 4
            assert network(pictures).shape == (1, len(skeleton), side, side)


def test_defaults_fill_in():
    config = parse(GOOD, "here")
    assert config.network.connect == "dense"
    assert config.optimiser == OptimiserConfig()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bach": 3}, "here: unknown key 'bach'; did you mean 'batch'?"),
        ({"optimiser": {"rat": 1}}, "here: optimiser: unknown key 'rat'; did you mean 'rate'?"),
        ({"network": {"stacks": 3}}, "here: network: key 'channels' is missing"),
        ({"batch": "many"}, "here: batch: must be a valid integer, not 'many'"),
        ({"batch": True}, "here: batch: must be a valid integer, not True"),
        ({"loss": "l3"}, "here: loss: must be 'cross_entropy' or 'mse', not 'l3'"),
        ({"phases": 3}, "here: phases: must be a valid array, not 3"),
        (
            {"phases": [{"size": 1.5, "images": 2}]},
            r"phases\[0\]: size: must be a valid integer",
        ),
        ({"optimiser": {"betas": [0.1]}}, r"betas\[1\]: Field required"),
        (
            {"data": {"source_weights": {"coco": "x"}}},
            "coco: must be a valid number, not 'x'",
        ),
    ],
)
def test_wrong_key_or_type_is_named(change: dict[str, object], message: str):
    with pytest.raises(RtposeError, match=message.replace("?", r"\?")):
        parse(GOOD | change, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phases": []}, "x.yaml: phases: must have at least 1 item, not 0"),
        (
            {"phases": [{"size": 64, "images": 0}]},
            r"phases\[0\]: images: .* equal to 1, not 0",
        ),
        ({"batch": 0}, "x.yaml: batch: must be greater than or equal to 1, not 0"),
        ({"sigma": 0.0}, "x.yaml: sigma: must be greater than 0, not 0"),
        (
            {"data": {"source_weights": {"coco": -1}}},
            "source_weights: coco: must be greater",
        ),
        (
            {"optimiser": {"clip_norm": -1.0}},
            "clip_norm: must be .* equal to 0, not -1",
        ),
        ({"optimiser": {"ema_decay": 3.0}}, "optimiser: ema_decay: must be less than 1, not 3"),
        (
            {"optimiser": {"betas": [2.0, 0.9]}},
            r"betas\[0\]: must be less than 1, not 2",
        ),
        (
            {"optimiser": {"rate": float("nan")}},
            "rate: must be a finite number, not nan",
        ),
    ],
)
def test_numbers_out_of_range_are_named(change: dict[str, object], message: str, tmp_path: Path):
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(RtposeError, match=message):
        read_config(tmp_path / "x.yaml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_written_and_read_again(path: Path, tmp_path: Path):
    config = read_config(path)
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config


def test_numbers_may_have_an_exponent_and_no_point(tmp_path: Path):
    text = yaml.safe_dump(GOOD) + "sigma: 1e-2\noptimiser: {rate: 5E-3, weight_decay: 1.5e+1}\n"
    (tmp_path / "x.yaml").write_text(text)
    config = read_config(tmp_path / "x.yaml")
    assert (config.sigma, config.optimiser.rate, config.optimiser.weight_decay) == (0.01, 0.005, 15)
    (tmp_path / "x.yaml").write_text(text.replace("1e-2", "'1e-2'"))
    with pytest.raises(RtposeError, match="sigma: must be a valid number, not '1e-2'"):
        read_config(tmp_path / "x.yaml")


def test_the_first_difference_is_named():
    config = parse(GOOD, "here")
    longer = parse(GOOD | {"phases": [{"size": 128, "images": 20}], "seed": 1}, "here")
    assert first_difference(config, config) is None
    assert first_difference(config, longer) == "phases[0]: images was 10, now 20"
    more = parse(GOOD | {"phases": GOOD["phases"] * 2}, "here")
    assert first_difference(config, more) == "phases was 1 entries, now 2 entries"
    other = parse(GOOD | {"optimiser": {"rate": 0.5}}, "here")
    assert first_difference(config, other) == "optimiser: rate was 0.002, now 0.5"


def test_missing_and_broken_files(tmp_path: Path):
    with pytest.raises(RtposeError, match="no such config file"):
        read_config(tmp_path / "gone.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(RtposeError, match="not readable as YAML"):
        read_config(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(RtposeError, match="must be an object, not"):
        read_config(tmp_path / "list.yaml")
