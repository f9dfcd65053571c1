"""The GPU's way through a frame, on CPU tensors, against the host's way."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rtpose import on_device
from rtpose.checkpoint import load_checkpoint
from rtpose.detector import load_detector
from rtpose.engines.eager import EagerEngine
from rtpose.estimator import Estimator
from rtpose.geometry import box_iou, crop_squares, cut_crops
from rtpose.letterbox import letterbox_image, plan_letterbox
from rtpose.on_device import cut_squares, letterbox_frame, own_stream, read_people, upload
from rtpose.photographs import photographed_people
from rtpose.pose import Image
from rtpose.shipped import find_weights, shipped_detector
from rtpose.skeleton import BODY21
from rtpose.yolo import (
    DISTANCE_BINS,
    PersonNetwork,
    load_model,
    read_predictions,
    suppress_overlaps,
)

CASES = {
    "same scale": (100, 200, 64),
    "up": (100, 200, 40),
    "down": (100, 200, 101.5),
    "half outside": (-60, 300, 120),
    "right edge": (700, 900, 130),
    "shrunk 3 times": (150, 250, 230),
    "shrunk 8 times": (20, 30, 560),
    "shrunk to blocks that reach out of it": (101.5, 203, 267.5),
    "all outside": (-500, -500, 100),
    "larger than the frame": (-400, -200, 1700),
}


@pytest.mark.parametrize("case", CASES)
def test_crops_are_those_of_opencv(case: str, bus: Image):
    square = np.array([CASES[case]], np.float32)
    host = cut_crops(bus, square, 64)[0].astype(float)
    device = cut_squares(torch.from_numpy(bus), square, 64)[0].numpy().astype(float)
    apart = np.abs(host - device)
    # OpenCV may compute places to a thirty-second of a pixel
    assert apart.mean() < 1 and np.percentile(apart, 99) <= 4, (apart.mean(), apart.max())
    if case == "same scale":
        assert apart.max() == 0


def test_many_squares_at_once_are_as_one_by_one(bus: Image):
    squares = np.array(list(CASES.values()), np.float32)
    frame = torch.from_numpy(bus)
    together = cut_squares(frame, squares, 32)
    for crop, square in zip(together, squares, strict=True):
        alone = cut_squares(frame, square[None], 32)[0]
        # places are counted in parts of the picture, whose width the largest square sets
        assert (crop.int() - alone.int()).abs().max() <= 1
    assert cut_squares(frame, squares[:0], 32).shape == (0, 3, 32, 32)


def test_a_frame_smaller_than_a_block():
    frame = torch.full((3, 3, 3), 200, dtype=torch.uint8)
    crop = cut_squares(frame, np.array([[-500, -500, 1000]], np.float32), 32)
    assert crop.shape == (1, 3, 32, 32)


@pytest.mark.parametrize("shape", [(1080, 810), (359, 641), (90, 100), (416, 416)])
def test_letterbox_is_that_of_opencv(shape: tuple[int, int], bus: Image):
    image = np.ascontiguousarray(bus[: shape[0], : shape[1]])
    plan = plan_letterbox(*image.shape[:2], 416)
    host = letterbox_image(image, plan).astype(int)
    device = letterbox_frame(torch.from_numpy(image), plan).numpy().astype(int)
    assert host.shape == device.shape
    assert np.abs(host - device).max() <= 1


@pytest.fixture(scope="module")
def raw() -> list[tuple[torch.Tensor, tuple[int, int]]]:
    """Raw predictions of the shipped detector for the photographs."""
    network = PersonNetwork(load_model(shipped_detector())[0]).eval()
    found = []
    for image, _ in photographed_people():
        plan = plan_letterbox(*image.shape[:2], 416)
        with torch.inference_mode():
            pixels = torch.from_numpy(letterbox_image(image, plan))[None]
            found.append((network(pixels)[0], plan.size))
    return found


@pytest.mark.parametrize("overlap", [0.3, 0.6, 0.9])
def test_boxes_are_those_of_numpy(overlap: float, raw: list[tuple[torch.Tensor, tuple[int, int]]]):
    for one, size in raw:
        boxes, scores = read_predictions(one, size, confidence=0.05)
        kept = suppress_overlaps(boxes, scores, overlap)
        found = read_people(one, size, overlap, 100).numpy()
        found = found[found[:, 4] >= 0.05]
        np.testing.assert_allclose(found[:, :4], boxes[kept], atol=0.01)
        np.testing.assert_allclose(found[:, 4], scores[kept], atol=1e-5)
        assert len(kept) >= 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_what_is_left_does_not_overlap(seed: int, limit: int):
    noise = torch.randn(4 * DISTANCE_BINS + 1, 84, generator=torch.Generator().manual_seed(seed))
    found = read_people(noise, (64, 64), 0.5, limit=limit).numpy()
    assert 1 <= len(found) <= limit
    assert (np.diff(found[:, 4]) <= 0).all()
    assert (box_iou(found[:, :4], found[:, :4]) - np.eye(len(found))).max() <= 0.5 + 1e-5


def test_joints_agree_with_the_cpu_path():
    """The whole way from frame to joints; crops differ by rounding, so a few joints may step."""
    checkpoint = load_checkpoint(find_weights("nano"))
    engine = EagerEngine(checkpoint)
    estimator = Estimator(lambda image: ..., engine, BODY21)  # type: ignore[arg-type]
    apart, steps = [], []
    for image, boxes in photographed_people():
        host = estimator.place_joints(image, boxes)
        squares = crop_squares(boxes)
        crops = cut_squares(torch.from_numpy(image), squares, checkpoint.input_size)
        device = estimator.read(engine(crops), squares)
        pixel = squares[:, 2, None] / checkpoint.input_size  # a crop's, in the frame
        distance = np.linalg.norm(host[..., :2] - device[..., :2], axis=-1) / pixel
        apart.append(distance[host[..., 2] > 0.5])
        stays = distance < 1
        steps.append(~stays.ravel())
        np.testing.assert_allclose(host[stays][:, 2], device[stays][:, 2], atol=0.1)
    assert np.concatenate(steps).mean() < 0.03
    assert np.concatenate(apart).size > 50
    assert np.concatenate(apart).mean() < 0.5


def test_pictures_may_be_tensors(bus: Image):
    detector = load_detector()
    boxes, scores = detector(bus)
    again, same = detector(torch.from_numpy(bus))
    np.testing.assert_array_equal(boxes, again)
    np.testing.assert_array_equal(scores, same)


def test_upload_takes_any_layout(bus: Image):
    mirrored = bus[:, ::-1]
    assert torch.equal(upload(mirrored, "cpu"), torch.from_numpy(mirrored.copy()))
    with own_stream("cpu"):
        pass


class Streams:
    """PyTorch's streams without a GPU: what is said to them, by their numbers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.made = 0
        monkeypatch.setattr(on_device, "_lent", threading.local())
        monkeypatch.setattr(on_device, "_free", {})
        monkeypatch.setattr(torch.cuda, "Stream", self.new)
        monkeypatch.setattr(torch.cuda, "stream", self.enter)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"default of {device}")

    def new(self, device: str) -> SimpleNamespace:
        self.made += 1
        number = self.made
        return SimpleNamespace(
            number=number, wait_stream=lambda other: self.said.append(f"{number} waits for {other}")
        )

    @contextmanager
    def enter(self, stream: SimpleNamespace) -> Iterator[None]:
        self.said.append(f"enter {stream.number}")
        yield
        self.said.append(f"leave {stream.number}")


def test_a_threads_own_stream_waits_for_what_was_given_before(monkeypatch: pytest.MonkeyPatch):
    streams = Streams(monkeypatch)
    for _ in range(2):
        with own_stream("cuda"):
            pass
    assert streams.said == ["1 waits for default of cuda", "enter 1", "leave 1"] * 2


def test_threads_have_streams_of_their_own_only_while_they_need_them(
    monkeypatch: pytest.MonkeyPatch,
):
    """What PyTorch keeps for the streams of threads that have ended is memory nobody has."""
    streams = Streams(monkeypatch)
    both_within = threading.Barrier(2)

    def stage() -> None:
        with own_stream("cuda"):
            both_within.wait(10)
            with own_stream("cuda"):  # a frame is uploaded within a stage
                pass

    for _ in range(3):  # videos, one after the other
        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(stage) for _ in range(2)]:
                done.result()
    assert streams.made == 2
    assert streams.said.count("enter 1") == streams.said.count("enter 2") == 6


def test_a_stage_that_fails_gives_its_stream_back(monkeypatch: pytest.MonkeyPatch):
    streams = Streams(monkeypatch)
    for _ in range(2):
        with suppress(RuntimeError), own_stream("cuda"):
            raise RuntimeError
    assert streams.made == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_joints_agree_with_the_cpu(bus: Image):
    checkpoint = load_checkpoint(find_weights("nano"))
    host = Estimator(load_detector(engine="torch"), EagerEngine(checkpoint), BODY21)
    want = [pose for pose in host(bus) if pose.score > 0.5]
    gpu = Estimator(load_detector(device="cuda"), EagerEngine(checkpoint, "cuda"), BODY21)
    have = [pose for pose in gpu(bus) if pose.score > 0.5]
    assert len(want) == len(have)
    for one, other in zip(want, have, strict=True):
        sure = one.joints[:, 2] > 0.5
        apart = np.linalg.norm(one.joints[sure, :2] - other.joints[sure, :2], axis=-1)
        assert np.median(apart) < 0.02 * (one.box[3] - one.box[1])
