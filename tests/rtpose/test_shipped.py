import pytest

from rtpose.checkpoint import load_checkpoint
from rtpose.errors import RtposeError
from rtpose.shipped import find_weights, shipped_networks, weights_folder
from rtpose.skeleton import BODY21


def test_nano_is_shipped_and_loads():
    checkpoint = load_checkpoint(find_weights("nano"))
    assert checkpoint.skeleton is BODY21
    assert checkpoint.network.architecture.connect == "dense"
    assert checkpoint.network.architecture.stacks >= 3


def test_the_networks_are_named_from_the_smallest_on():
    assert shipped_networks() == ("nano", "small", "base")


def test_every_shipped_file_is_safetensors_or_text():
    assert {p.suffix for p in weights_folder().iterdir()} <= {".safetensors", ".md", ".yaml"}


def test_unknown_name_lists_what_there_is():
    with pytest.raises(RtposeError, match=r"unknown model 'huge': choose nano"):
        find_weights("huge")
