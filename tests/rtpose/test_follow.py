import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rtpose.estimator import load_estimator
from rtpose.follow import NEWCOMER_S, Follower
from rtpose.media.sample import write_sample
from rtpose.media.sources import VideoFile
from rtpose.on_device import Picture
from rtpose.pose import Frame, FrameResult, Image
from rtpose.stream import every_frame

HEIGHT, WIDTH = 240, 640
SPEED = 90.0
"""Pixels a second."""


class Scene:
    """People who walk to the right, as a detector and a pose network see them.

    A frame's picture carries its own number. A person is a time to come, one to go, and a start.
    """

    def __init__(self, *people: tuple[float, float, float], fps: float = 30) -> None:
        self.people = people
        self.fps = fps
        self.detected: list[int] = []
        self.blind: set[int] = set()
        """Frames in which the detector sees nobody."""
        self.wrong: set[int] = set()
        """Frames in which nobody's joints can be told."""

    def frame(self, index: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> Frame:
        image = np.zeros((*shape, 3), np.uint8)
        image[0, 0] = index // 256, index % 256, 0
        return Frame(image, index, index / self.fps)

    def centres(self, index: int) -> list[float]:
        now = index / self.fps
        return [x + SPEED * now for come, go, x in self.people if come <= now < go]

    def detect(self, image: Image) -> tuple[np.ndarray, np.ndarray]:
        index = number(image)
        self.detected.append(index)
        here = [] if index in self.blind else self.centres(index)
        boxes = np.array([[x - 30, 60, x + 30, 200] for x in here], np.float32).reshape(-1, 4)
        return boxes, np.full(len(boxes), 0.9, np.float32)

    def place(self, image: Image, boxes: np.ndarray) -> np.ndarray:
        """The joints of whoever is nearest to the middle of each box, unsure if nobody is near."""
        index = number(image)
        joints = np.zeros((len(boxes), 21, 3), np.float32)
        for row, box in zip(joints, boxes, strict=True):
            middle = (box[0] + box[2]) / 2
            nearest = min(self.centres(index), key=lambda x: abs(x - middle), default=None)
            near = nearest is not None and abs(nearest - middle) < 30 and index not in self.wrong
            row[:, 0] = (nearest if nearest is not None else middle) + np.linspace(-25, 25, 21)
            row[:, 1] = np.linspace(70, 190, 21)
            row[:, 2] = 0.8 if near else 0.3
        return joints

    def follower(self, every: int) -> Follower:
        return Follower(self.detect, self.place, detect_every=every)

    def run(self, follower: Follower, count: int) -> list[FrameResult]:
        return [follower(self.frame(i)) for i in range(count)]


def number(image: Image) -> int:
    return int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])


def ids(results: Sequence[FrameResult]) -> list[list[int | None]]:
    return [[pose.id for pose in result.poses] for result in results]


def test_every_frame_is_detected_where_asked_for():
    scene = Scene((0, 9, 50))
    results = scene.run(scene.follower(1), 20)
    assert scene.detected == list(range(20))
    assert ids(results) == [[1]] * 20


def test_in_between_people_are_followed_where_they_go():
    scene = Scene((0, 9, 50), (0, 9, 250))
    results = scene.run(scene.follower(5), 60)
    assert scene.detected == list(range(0, 60, 5))
    assert ids(results) == [[1, 2]] * 60
    for result in results:
        for pose, x in zip(result.poses, scene.centres(result.frame.index), strict=True):
            np.testing.assert_allclose(pose.joints[:, 0].mean(), x, atol=0.01)
            assert pose.box[0] < x - 20 and pose.box[2] > x + 20
            assert pose.score == pytest.approx(0.9)


@pytest.mark.parametrize("fps", [5, 30, 60])
def test_newcomers_are_found_in_time_at_any_rate(fps: float):
    scene = Scene((0, 9, 50), (1.0, 9, 250), fps=fps)
    results = scene.run(scene.follower(1000), round(3 * fps))
    found = next(r for r in results if len(r.poses) == 2)
    assert found.frame.time_s <= 1.0 + NEWCOMER_S + 1 / fps
    assert len(scene.detected) <= 3 / NEWCOMER_S + 1


def test_the_detector_sees_a_newcomer_again_at_once():
    scene = Scene((0, 9, 50), (0.2, 9, 250))
    results = scene.run(scene.follower(5), 20)
    assert ids(results) == [[1]] * 10 + [[1, None]] + [[1, 2]] * 9
    assert scene.detected == [0, 5, 10, 11, 15]


def test_a_false_alarm_is_there_for_one_frame_and_has_no_id():
    scene = Scene((0, 9, 50), (10 / 30, 11 / 30, 250))
    results = scene.run(scene.follower(5), 20)
    assert ids(results) == [[1]] * 10 + [[1, None]] + [[1]] * 9


def test_an_empty_scene_is_detected_by_turns_only():
    scene = Scene()
    assert ids(scene.run(scene.follower(5), 30)) == [[]] * 30
    assert scene.detected == list(range(0, 30, 5))


def test_the_detector_looks_at_once_when_somebody_is_gone():
    scene = Scene((0, 0.3, 50))
    results = scene.run(scene.follower(1000), 40)
    gone = round(0.3 * 30)
    assert ids(results) == [[1]] * gone + [[]] * (40 - gone)
    assert scene.detected[1] == gone


def test_someone_missed_by_the_detector_is_looked_for_in_the_next_frame():
    scene = Scene((0, 9, 50))
    scene.blind = {10}
    results = scene.run(scene.follower(10), 20)
    assert ids(results) == [[1]] * 10 + [[]] + [[1]] * 9
    assert 11 in scene.detected


def test_the_detector_looks_at_once_when_scores_fall():
    scene = Scene((0, 9, 50))
    scene.wrong = {7}
    scene.run(scene.follower(10), 10)
    assert scene.detected[:2] == [0, 7]


def test_two_boxes_that_slide_onto_one_person_are_seen_through():
    """When the one behind is gone, the other's joints fill both boxes."""
    scene = Scene((0, 9, 100), (0, 0.2, 125))
    results = scene.run(scene.follower(1000), 12)
    assert [len(r.poses) for r in results] == [2] * 6 + [1] * 6
    assert scene.detected[1] == 6


def filmed(rng: np.random.Generator, scene: Scene, indices: range) -> list[Frame]:
    """Frames of a room whose walls have a pattern."""
    wall = np.kron(rng.integers(0, 256, (12, 32)), np.ones((20, 20)))
    frames = [scene.frame(index) for index in indices]
    for frame in frames:
        frame.image[1:] = wall[1:, :, None]
    return frames


@pytest.mark.parametrize("every", [1, 5])
def test_a_cut_takes_the_detector_and_whoever_stands_there_is_somebody_else(every: int):
    rng, scene = np.random.default_rng(0), Scene((0, 17 / 30, 50), (17 / 30, 9, 50 - SPEED / 3))
    frames = [*filmed(rng, scene, range(17)), *filmed(rng, scene, range(17, 40))]
    for frame in frames[17:]:  # in other clothes
        frame.image[1:] = 255 - frame.image[1:] // 2
    follower = scene.follower(every)
    assert ids([follower(frame) for frame in frames]) == [[1]] * 17 + [[None]] + [[2]] * 22
    assert 17 in scene.detected and 18 in scene.detected


def test_frames_far_apart_are_no_cut():
    """At five a second the same scene changes as much."""
    rng, scene = np.random.default_rng(0), Scene((0, 9, 50), fps=5)
    frames = [*filmed(rng, scene, range(5)), *filmed(rng, scene, range(5, 10))]
    follower = scene.follower(1)
    assert ids([follower(frame) for frame in frames]) == [[1]] * 10


def test_another_picture_size_takes_the_detector():
    scene = Scene((0, 9, 50))
    follower = scene.follower(1000)
    for i in range(3):
        follower(scene.frame(i))
    follower(scene.frame(3, (2 * HEIGHT, 2 * WIDTH)))
    assert scene.detected == [0, 3]


def test_a_clock_that_jumps_back_starts_anew():
    scene = Scene((0, 9, 50))
    follower = scene.follower(1000)
    for i in (100, 101, 102, 3, 4):
        follower(scene.frame(i))
    assert scene.detected[:2] == [100, 3]


def test_results_are_the_same_overlapped_and_in_one_thread():
    def scene() -> Scene:
        made = Scene((0, 2, 50), (0.5, 9, 250), (1, 1.7, 20))
        made.wrong, made.blind = {13, 14, 47}, {20, 21}
        return made

    alone = scene()
    one_by_one = alone.run(alone.follower(7), 100)
    beside = scene()
    follower = beside.follower(7)
    overlapped = list(
        every_frame((beside.frame(i) for i in range(100)), follower.look, follower.place)
    )
    assert sorted(alone.detected) == sorted(beside.detected)
    for a, b in zip(one_by_one, overlapped, strict=True):
        assert a.frame.index == b.frame.index
        assert [p.id for p in a.poses] == [p.id for p in b.poses]
        for p, q in zip(a.poses, b.poses, strict=True):
            assert p.joints.tobytes() == q.joints.tobytes() and p.box.tobytes() == q.box.tobytes()


def test_the_detector_is_never_asked_by_two_at_once():
    scene = Scene((0, 9, 50))
    scene.wrong = set(range(1, 200, 3))
    busy = threading.Lock()

    def detect(image: Image) -> tuple[np.ndarray, np.ndarray]:
        assert busy.acquire(blocking=False)
        threading.Event().wait(0.001)
        busy.release()
        return scene.detect(image)

    follower = Follower(detect, scene.place, detect_every=2)
    results = every_frame((scene.frame(i) for i in range(200)), follower.look, follower.place)
    assert len(list(results)) == 200


def test_each_frame_is_uploaded_once_and_only_that_is_looked_at():
    scene = Scene((0, 9, 50))
    scene.wrong = {7}  # detected out of turn
    uploaded: list[int] = []

    def upload(image: Image) -> torch.Tensor:
        uploaded.append(number(image))
        return torch.from_numpy(image.copy())

    def detect(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        assert isinstance(picture, torch.Tensor)
        return scene.detect(picture.numpy())

    def place(picture: Picture, boxes: np.ndarray) -> np.ndarray:
        assert isinstance(picture, torch.Tensor)
        return scene.place(picture.numpy(), boxes)

    follower = Follower(detect, place, upload=upload, detect_every=5)
    frames = (scene.frame(i) for i in range(20))
    assert len(list(every_frame(frames, follower.look, follower.place))) == 20
    assert uploaded == list(range(20))
    assert sorted(scene.detected) == [0, 5, 7, 10, 15]


def test_smoothing_changes_what_is_returned_and_not_what_is_followed():
    scene = Scene((0, 9, 50))
    follower = Follower(scene.detect, scene.place, detect_every=5, smooth=lambda poses, t: ())
    assert ids(scene.run(follower, 20)) == [[]] * 20
    assert scene.detected == [0, 5, 10, 15]


@pytest.mark.parametrize(
    "image",
    [None, np.zeros((20, 30), np.uint8), np.zeros((20, 30, 3), np.float32)],
    ids=["None", "grey", "floats"],
)
def test_a_frame_without_a_picture_is_refused(image: Any):
    """Else floats from 0 to 1 are black to it, nobody is found, and nothing said."""
    with pytest.raises(ValueError, match=r"expected a \(H, W, 3\) uint8 image, got"):
        Scene().follower(1)(Frame(image, 0, 0.0))


def test_detect_every_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        Scene().follower(0)


def test_a_box_stays_the_detectors_in_size_and_grows_where_joints_reach_out():
    """Somebody at a desk: the sure joints are the upper body, the detector's box reaches lower."""
    scene = Scene((0, 9, 300))
    plain = scene.place

    def place(image: Image, boxes: np.ndarray) -> np.ndarray:
        joints = plain(image, boxes)
        joints[:, 8:, 2] = 0.1  # the lower ones
        if number(image) >= 5:
            joints[:, 0, 0] -= 60  # a hand is stretched out
        joints[:, :8, 2] = 0.9
        return joints

    follower = Follower(scene.detect, place, detect_every=1000)
    for i in range(10):
        [pose] = follower(scene.frame(i)).poses
        [x] = scene.centres(i)
        left = x - 30 if i < 5 else x - 86
        np.testing.assert_allclose(pose.box[[1, 2, 3]], [60, x + 30, 200], atol=6)
        assert abs(pose.box[0] - left) < 6
    assert scene.detected == [0]


def test_boxes_of_people_at_the_edge_stay_in_the_picture():
    scene = Scene((0, 9, WIDTH - 60))
    follower = scene.follower(1000)
    for i in range(12):
        for pose in follower(scene.frame(i)).poses:
            assert (pose.box[2:] > pose.box[:2]).all()
            assert (pose.box >= 0).all() and pose.box[2] <= WIDTH and pose.box[3] <= HEIGHT


@pytest.mark.parametrize("every", [1, 3])
def test_real_networks_give_the_same_bytes_overlapped_and_in_one_thread(every: int, tmp_path: Path):
    write_sample(tmp_path / "clip.mp4", seconds=0.5, size=(320, 240))
    with VideoFile(tmp_path / "clip.mp4") as file:
        frames = list(file)
    estimator = load_estimator("nano")

    def follower() -> Follower:
        return Follower(estimator.detector, estimator.place_joints, detect_every=every)

    one_by_one = [p for f in map(follower(), frames) for p in f.poses]
    beside = follower()
    overlapped = [p for f in every_frame(frames, beside.look, beside.place) for p in f.poses]
    assert len(one_by_one) > len(frames)
    for p, q in zip(one_by_one, overlapped, strict=True):
        assert (p.id, p.score) == (q.id, q.score)
        assert p.joints.tobytes() == q.joints.tobytes() and p.box.tobytes() == q.box.tobytes()
