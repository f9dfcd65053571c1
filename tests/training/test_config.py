from pathlib import Path

import pytest
import torch

from rtpose.errors import RtposeError
from training.config import OptimiserConfig, TrainConfig, parse, read_config
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
    config = parse(TrainConfig, GOOD, "here")
    assert config.network.connect == "dense"
    assert config.optimiser == OptimiserConfig()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bach": 3}, "here: unknown key 'bach'; did you mean 'batch'?"),
        ({"optimiser": {"rat": 1}}, "here: optimiser: unknown key 'rat'; did you mean 'rate'?"),
        ({"network": {"stacks": 3}}, "here: network: key 'channels' is missing"),
        ({"batch": "many"}, "here: batch: must be int, not 'many'"),
        ({"batch": True}, "here: batch: must be int, not True"),
        ({"loss": "l3"}, "here: loss: must be one of cross_entropy, mse, not 'l3'"),
        ({"phases": 3}, "here: phases: must be a list"),
        ({"phases": [{"size": 1.5, "images": 2}]}, r"here: phases\[0\]: size: must be int"),
        ({"optimiser": {"betas": [0.1]}}, "betas: must have 2 entries, not 1"),
        ({"data": {"source_weights": {"coco": "x"}}}, r"source_weights\.coco: must be float"),
    ],
)
def test_wrong_key_or_type_is_named(change: dict[str, object], message: str):
    with pytest.raises(RtposeError, match=message.replace("?", r"\?")):
        parse(TrainConfig, GOOD | change, "here")


def test_missing_and_broken_files(tmp_path: Path):
    with pytest.raises(RtposeError, match="no such config file"):
        read_config(tmp_path / "gone.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(RtposeError, match="not readable as YAML"):
        read_config(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(RtposeError, match="expected keys and values"):
        read_config(tmp_path / "list.yaml")
