"""What is measured, not how fast it is: machines are shared."""

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtpose.bench.measured import Measured, Percentiles
from rtpose.bench.plot import check_plot, plot_stages
from rtpose.bench.report import doubts, plain
from rtpose.bench.speed import CROWDS, STAGES, WAYS, CpuClock, Speed, measure_speed, time_stages
from rtpose.checkpoint import Checkpoint
from rtpose.engines.eager import EagerEngine
from rtpose.errors import RtposeError
from rtpose.estimator import Estimator
from rtpose.media.sample import write_sample
from rtpose.network import Architecture, DCHourglass
from rtpose.pose import Image, Pose
from rtpose.skeleton import BODY21, MPII16
from rtpose.smoothing import Smoother

SLEEP_S = 0.02


def find_two(image: Image):
    height, width = image.shape[:2]
    boxes = np.float32([[0, 0, width // 2, height], [width // 2, 0, width, height]])
    return boxes, np.float32([0.9, 0.8])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    write_sample(path, seconds=0.3, size=(320, 240))
    return path


@pytest.fixture
def estimator(tiny: Checkpoint) -> Estimator:
    return Estimator(find_two, EagerEngine(tiny), BODY21)


@pytest.fixture(scope="module")
def quiet() -> Speed:
    stages = {s: Percentiles(Measured(9, 9, 9, "ms"), Measured(12, 12, 12, "ms")) for s in STAGES}
    fps = {"detector every frame": Measured(30, 29, 31, "fps")}
    return Speed(9, 2.0, stages, stages["pose"], fps, (), 500.0, None)


def test_time_is_booked_on_the_stage_that_took_it(estimator: Estimator, clip: Path, tmp_path: Path):
    def slow(image: Image):
        time.sleep(SLEEP_S)
        return find_two(image)

    slowed = replace(estimator, detector=slow)
    milliseconds, people = time_stages(slowed, clip, tmp_path / "out.mp4", CpuClock())
    assert milliseconds.shape == (9, len(STAGES)) and people == 2
    assert (milliseconds >= 0).all()
    assert milliseconds[:, STAGES.index("detect")].min() >= 1e3 * SLEEP_S


def test_tracking_is_with_smoothing_as_in_rtpose_video(
    estimator: Estimator, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def slow(smoother: Smoother, poses: tuple[Pose, ...], time_s: float):
        time.sleep(SLEEP_S)
        return poses

    monkeypatch.setattr(Smoother, "update", slow)
    milliseconds, _ = time_stages(estimator, clip, tmp_path / "out.mp4", CpuClock(), limit=3)
    assert milliseconds[:, STAGES.index("track")].min() >= 1e3 * SLEEP_S


def test_all_of_it(estimator: Estimator, clip: Path, tmp_path: Path):
    told: list[str] = []
    speed = measure_speed(estimator, clip, clip, tmp_path, 2, told.append)
    assert (speed.frames, speed.people) == (9, 2.0)
    assert tuple(speed.stages) == STAGES
    assert set(speed.fps) == {name + how for name in WAYS for how in ("", ", drawn and written")}
    assert [crowd.people for crowd in speed.crowds] == list(CROWDS)
    assert {crowd.found for crowd in speed.crowds} == {2}
    assert speed.latency.p50.value >= speed.stages["pose"].p50.value
    assert speed.host_mb is None or speed.host_mb > 100
    assert speed.gpu_mb is None
    assert any("20 people" in line for line in told)
    assert plain(speed)["stages"]["pose"]["p50"]["unit"] == "ms"


def test_a_network_of_another_skeleton(clip: Path, tmp_path: Path):
    torch.manual_seed(0)
    network = DCHourglass(Architecture(1, 4, len(MPII16), depth=1)).eval()
    engine = EagerEngine(Checkpoint(network, MPII16, 64))
    speed = measure_speed(Estimator(find_two, engine, MPII16), clip, clip, tmp_path, 1)
    assert speed.people == 2.0


def test_a_clip_without_anybody(estimator: Estimator, clip: Path, tmp_path: Path):
    nobody = replace(
        estimator, detector=lambda image: (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    )
    milliseconds, people = time_stages(nobody, clip, tmp_path / "out.mp4", CpuClock(), limit=3)
    assert len(milliseconds) == 3 and people == 0


def test_noise_is_named(quiet: Speed):
    assert list(doubts(quiet)) == []
    noisy = replace(quiet, fps={"all": Measured(30, 20, 40, "fps", slowing=True)})
    lines = list(doubts(noisy))
    assert lines[0].startswith("noisy: the repeats of 1 of 19 figures")
    assert lines[1].startswith("slowing down from repeat to repeat: fps all;")


def test_the_plot_shows_something(quiet: Speed, tmp_path: Path):
    check_plot(tmp_path / "a.png")
    plot_stages(quiet, "nano on a tree", tmp_path / "a.png")
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image is not None and image.std() > 20
    with pytest.raises(RtposeError, match="must end in"):
        check_plot(tmp_path / "a.txt")
    with pytest.raises(RtposeError, match="no such folder"):
        check_plot(tmp_path / "gone" / "a.png")
