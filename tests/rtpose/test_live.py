import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import cv2
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.live import Session, mirrored
from rtpose.media.cameras import Camera
from rtpose.media.feeds import open_feed
from rtpose.media.recording import Recorder
from rtpose.media.saver import open_saver
from rtpose.media.sinks import VideoWriter
from rtpose.media.view import Action, Hud
from rtpose.pose import Frame, FrameResult, Pose
from rtpose.skeleton import BODY21
from rtpose.stream import newest_frame

pytestmark = pytest.mark.usefixtures("threads_gone", "quick_return")


class FakeView:
    """Keeps what it was shown, and asks what a script tells it to.

    The script is called with the view after everything shown, and gives actions.
    """

    def __init__(self, script: Callable[["FakeView"], Sequence[Action]]) -> None:
        self.script = script
        self.shown: list[FrameResult] = []
        self.huds: list[Hud] = []
        self.closed = False

    def show(self, result: FrameResult, hud: Hud) -> None:
        self.shown.append(result)
        self.huds.append(hud)

    def actions(self) -> Sequence[Action]:
        return self.script(self) if self.huds else ()

    def close(self) -> None:
        self.closed = True


def left_person(frame: Frame) -> FrameResult:
    """Somebody in the left half of the picture."""
    joints = np.full((21, 3), 0.9, np.float32)
    joints[:, 0], joints[:, 1] = np.linspace(8, 20, 21), np.linspace(10, 40, 21)
    return FrameResult(frame, (Pose(np.array([5, 5, 25, 45], np.float32), 0.9, joints, 1),))


def dot(result: FrameResult) -> None:
    """Draw people as one white column at their first joint."""
    for pose in result.poses:
        result.frame.image[:, round(float(pose.joints[0, 0]))] = 255


class Stage:
    """A session on a server's stream with a view that follows a script."""

    def __init__(self, camera: Camera, view: FakeView, recorder: Recorder, **how: Any) -> None:
        self.stop = threading.Event()
        self.camera = camera
        self.session = Session(camera, view, dot, "an engine", recorder, **how)
        self.seen: list[int] = []

    def step(self, frame: Frame) -> FrameResult:
        self.seen.append(frame.index)
        return left_person(frame)

    def run(self) -> None:
        results = newest_frame(self.camera.frames(self.stop), self.step, stop=self.stop)
        with closing(results):
            self.session.run(results)


def after(count: int, *actions: Action) -> Callable[[FakeView], Sequence[Action]]:
    return lambda view: actions if len(view.shown) >= count else ()


def in_turn(
    *turns: tuple[Callable[[FakeView], bool], Action],
) -> Callable[[FakeView], list[Action]]:
    """Ask for each action once, when its time has come after the one before."""
    left = list(turns)

    def script(view: FakeView) -> list[Action]:
        return [left.pop(0)[1]] if left and left[0][0](view) else []

    return script


@pytest.fixture
def stage(mjpeg: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a session on a stream: ``stage(script, acts=..., **how)``."""
    monkeypatch.chdir(tmp_path)

    def run(
        script: Callable[[FakeView], Sequence[Action]],
        acts: Callable[[Any], list[Any]] = lambda server: [server.steady()],
        record: Path | None = None,
        **how: Any,
    ) -> tuple[Stage, FakeView, Recorder]:
        server = mjpeg()
        server.acts = acts(server)
        view, recorder = FakeView(script), Recorder(record, 30)
        if record:
            recorder.start()
        with Camera(partial(open_feed, server.url), "the camera") as camera:
            played = Stage(camera, view, recorder, **how)
            played.run()
        recorder.stop()
        return played, view, recorder

    return run


def test_pictures_are_shown_drawn_and_with_numbers(stage: Any):
    played, view, _ = stage(after(40, Action.QUIT))
    assert played.session.quit
    assert played.session.shown >= 35
    last, hud = view.shown[-1], view.huds[-1]
    assert (last.frame.image[:, 8] == 255).all()
    assert hud.people == 1 and hud.engine == "an engine" and hud.notice == ""
    assert not hud.recording and not hud.paused
    assert 0 < hud.fps <= 60
    assert 0 <= hud.latency_ms < 5000
    assert len({id(r) for r in view.shown}) > 30


def test_the_frame_rate_counts_from_the_first_picture():
    """A file's clock begins again when it is shown, after the networks were loaded."""
    now_s = 100.0

    def results() -> Iterator[FrameResult]:
        nonlocal now_s
        for n in range(20):
            now_s = n / 5
            yield left_person(Frame(np.zeros((48, 64, 3), np.uint8), n, now_s))

    view = FakeView(lambda view: ())
    camera = SimpleNamespace(now_s=lambda: now_s, waiting=None, paused=threading.Event())
    Session(cast("Camera", camera), view, dot, "an engine", Recorder()).run(results())
    assert view.huds[-1].fps == pytest.approx(5, abs=1)


def test_pause_stops_the_work_and_goes_on_with_the_newest(stage: Any):
    paused_at: list[int] = []

    def long_paused(view: FakeView) -> bool:
        return sum(hud.paused for hud in view.huds) > 5

    script = in_turn(
        (lambda view: len(view.shown) > 5, Action.PAUSE),
        (lambda view: not paused_at.append(len(view.shown)) and long_paused(view), Action.PAUSE),
        (lambda view: view.shown[-1].frame.index > view.shown[paused_at[-1] - 1].frame.index + 3,
         Action.QUIT),
    )  # fmt: skip
    played, view, _ = stage(script)
    still = {id(r) for r, hud in zip(view.shown, view.huds, strict=True) if hud.paused}
    assert len(still) == 1  # the picture stood
    gaps = np.diff(played.seen)
    assert gaps.max() > 5  # half a second of frames was not even looked at


def test_mirror_turns_picture_and_joints_and_not_what_is_saved(stage: Any, tmp_path: Path):
    script = in_turn(
        (lambda view: len(view.shown) > 3, Action.MIRROR),
        (lambda view: float(view.shown[-1].poses[0].joints[0, 0]) == 8, Action.QUIT),
    )
    with open_saver(tmp_path / "p.jsonl", BODY21, False) as saver:
        _, view, _ = stage(script, mirror=True, saver=saver)
    first = view.shown[0]
    assert float(first.poses[0].joints[0, 0]) == 63 - 8
    assert (first.frame.image[:, 63 - 8] == 255).all() and (first.frame.image[:, 8] < 255).any()
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert {line["people"][0]["joints"]["right_ankle"][0] for line in lines} == {8.0}


def test_recording_starts_and_stops_on_request(stage: Any, tmp_path: Path):
    script = in_turn(
        (lambda view: len(view.shown) > 3, Action.RECORD),
        (lambda view: sum(hud.recording for hud in view.huds) > 10, Action.RECORD),
        (lambda view: not view.huds[-1].recording, Action.RECORD),
        (lambda view: view.huds[-1].recording, Action.QUIT),
    )
    stage(script)
    first, _ = sorted(
        tmp_path.glob("rtpose-*.mp4"), key=lambda path: path.stat().st_mtime_ns
    )  # the one that was on is finished too
    with av.open(str(first)) as file:
        pictures = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    assert len(pictures) >= 10
    assert pictures[0][:, 8].min() > 180  # with the people drawn in


def test_a_recording_that_breaks_off_is_told_and_what_is_seen_goes_on(
    stage: Any, monkeypatch: pytest.MonkeyPatch
):
    """As where the disk is full: the pictures until then are kept, and another can be begun."""
    whole = VideoWriter.write

    def full_at_5(self: VideoWriter, image: np.ndarray, time_s: float) -> None:
        if self.frames == 5:
            monkeypatch.setattr(VideoWriter, "write", whole)
            raise RtposeError("the disk is full.")
        whole(self, image, time_s)

    monkeypatch.setattr(VideoWriter, "write", full_at_5)
    script = in_turn(
        (lambda view: len(view.shown) > 12, Action.RECORD),
        (lambda view: sum(hud.recording for hud in view.huds) > 12, Action.QUIT),
    )
    played, view, _ = stage(script, record=Path("out.mp4"))
    assert any(hud.notice == "the recording broke off" for hud in view.huds)
    assert played.session.fault == ""  # the second one is well
    assert len(list(Path().glob("out*.mp4"))) == 2
    with av.open("out.mp4") as file:
        assert 1 <= len(list(file.decode(video=0))) <= 5


def test_a_snapshot_is_the_picture_shown(stage: Any, tmp_path: Path, caplog: Any):
    script = in_turn(
        (lambda view: len(view.shown) > 3, Action.SNAPSHOT),
        (lambda view: len(list(tmp_path.glob("*.png"))) == 1, Action.QUIT),
    )
    with caplog.at_level(logging.WARNING, "rtpose"):
        _, view, _ = stage(script)
    [path] = tmp_path.glob("*.png")
    image = cv2.imread(str(path))
    assert any(np.array_equal(image, r.frame.image) for r in view.shown)
    assert path.name in caplog.text


def test_a_lost_camera_is_told_beside_the_last_picture(stage: Any):
    _, view, _ = stage(
        after_notice_gone(),
        lambda server: [server.steady(count=8), *[None] * 5, server.steady(size=(96, 64))],
    )
    notices = [hud.notice for hud in view.huds]
    assert any("camera lost" in notice for notice in notices)
    assert view.shown[-1].frame.image.shape == (64, 96, 3)


class StillCamera:
    """A camera whose clock a test sets; it gave one picture, when the clock was at 10 s."""

    def __init__(self) -> None:
        self.waiting = None
        self.paused = threading.Event()
        self.at_s = 10.0

    def now_s(self) -> float:
        return self.at_s


def test_the_age_of_a_picture_that_stands_grows_but_not_in_a_pause():
    camera = StillCamera()
    view = FakeView(
        in_turn(
            (lambda view: len(view.shown) == 4, Action.PAUSE),
            (lambda view: len(view.shown) == 6, Action.PAUSE),
        )
    )
    told: list[Hud] = []
    session = Session(camera, view, dot, "an engine", Recorder(None, 30), tell=told.append)  # type: ignore[arg-type]

    def results() -> Iterator[FrameResult | None]:
        yield left_person(Frame(np.full((48, 64, 3), 99, np.uint8), 0, 10.0))
        for _ in range(7):
            camera.at_s += 1
            yield None

    session.run(results())
    assert len({id(result) for result in view.shown}) == 1
    assert [hud.latency_ms for hud in view.huds] == [0, 1e3, 2e3, 3e3, 3e3, 3e3, 6e3, 7e3]
    assert [hud.paused for hud in view.huds] == [False] * 4 + [True] * 2 + [False] * 2
    assert told and told[0] == view.huds[0]


def after_notice_gone() -> Callable[[FakeView], Sequence[Action]]:
    return lambda view: (
        [Action.QUIT] if view.shown[-1].frame.image.shape[1] == 96 and not view.huds[-1].notice
        else []
    )  # fmt: skip


def test_a_black_picture_is_told(stage: Any):
    black = np.zeros((48, 64, 3), np.uint8)
    _, view, _ = stage(
        after(5, Action.QUIT), lambda server: [server.steady(picture=lambda i: black)]
    )
    assert "black" in view.huds[-1].notice


def test_a_view_that_is_slow_does_not_make_pictures_older(stage: Any):
    nap = threading.Event()

    def slow(view: FakeView) -> Sequence[Action]:
        nap.wait(0.2)
        return [Action.QUIT] if len(view.shown) >= 12 else []

    _, view, _ = stage(slow)
    # were frames kept, each would be some six frames older than the one before: two seconds
    assert view.huds[-1].latency_ms < view.huds[0].latency_ms + 1000
    assert view.shown[-1].frame.index > 2 * len(view.shown)


def test_an_error_ends_the_session_and_the_recording_is_whole(
    mjpeg: Callable[..., Any], tmp_path: Path
):
    server = mjpeg()
    server.acts = [server.steady()]
    recorder = Recorder(tmp_path / "out.mp4", 30)
    recorder.start()

    def fail_at_20(frame: Frame) -> FrameResult:
        if frame.index >= 20:
            raise RuntimeError("out of memory")
        return left_person(frame)

    with Camera(partial(open_feed, server.url), "the camera") as camera:
        session = Session(camera, FakeView(lambda view: ()), dot, "an engine", recorder)
        results = newest_frame(camera.frames(stop := threading.Event()), fail_at_20, stop=stop)
        with pytest.raises(RuntimeError, match="out of memory"), closing(results):
            session.run(results)
        recorder.stop()
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert len(list(file.decode(video=0))) == session.shown > 0


def test_mirrored_twice_is_the_same():
    rng = np.random.default_rng(0)
    joints = rng.uniform(0, 60, (21, 3)).astype(np.float32)
    pose = Pose(np.array([3, 4, 20, 40], np.float32), 0.5, joints, 7)
    result = FrameResult(Frame(rng.integers(0, 255, (48, 64, 3), np.uint8), 3, 1.5), (pose,))
    once = mirrored(result)
    np.testing.assert_array_equal(once.poses[0].box, [44, 4, 61, 40])
    assert (once.poses[0].id, once.frame.index, once.frame.time_s) == (7, 3, 1.5)
    x, y = 10, 20
    np.testing.assert_array_equal(once.frame.image[y, 63 - x], result.frame.image[y, x])
    twice = mirrored(once)
    np.testing.assert_array_equal(twice.frame.image, result.frame.image)
    np.testing.assert_allclose(twice.poses[0].joints, joints, atol=1e-4)
    np.testing.assert_array_equal(twice.poses[0].box, pose.box)
