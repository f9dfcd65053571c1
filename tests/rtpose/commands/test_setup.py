"""What is loaded is said, once, whichever command loads it."""

from types import SimpleNamespace

import pytest
import torch

from rtpose.bench.inference import no_detector
from rtpose.commands import setup
from rtpose.commands.options import Settings
from rtpose.commands.setup import set_up
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.skeleton import BODY21, COCO17


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network has to be there."""
    engine = SimpleNamespace(name="openvino", precision="int8", device="cpu")
    estimator = Estimator(no_detector, engine, BODY21, reason="the fastest [that] can run here")
    monkeypatch.setattr(setup, "load_estimator", lambda *_, **__: estimator)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(setup.console, "_width", 20)


def test_the_engine_is_said_once_with_its_reason(capfd: pytest.CaptureFixture[str]):
    made = set_up(Settings())
    said = capfd.readouterr().err
    assert said == "nano by openvino int8 on cpu: the fastest [that] can run here\n"
    assert made.engine == "nano by openvino int8 on cpu"


def test_bench_which_loads_without_and_with_flip_test_says_which(
    capfd: pytest.CaptureFixture[str],
):
    set_up(Settings())
    set_up(Settings(flip_test=True))
    assert "on cpu: the fastest" in (said := capfd.readouterr().err)
    assert "on cpu with flip test: the fastest" in said


def test_a_skeleton_that_does_not_exist_is_one_line(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(RtposeError, match="octopus"):
        set_up(Settings(skeleton="octopus"))
    assert capfd.readouterr().err == ""


def test_a_network_of_fewer_joints_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch):
    engine = SimpleNamespace(name="openvino", precision="int8", device="cpu")
    estimator = Estimator(no_detector, engine, COCO17)
    monkeypatch.setattr(setup, "load_estimator", lambda *_, **__: estimator)
    assert set_up(Settings()).shown == COCO17
    with pytest.raises(RtposeError, match=r"does not predict pelvis.*; choose coco17"):
        set_up(Settings(skeleton="body21"))


def test_each_source_has_a_follower_of_its_own():
    made = set_up(Settings(detect_every=7))
    assert made.new_follower() is not made.new_follower()
