"""A live session: what comes is drawn, shown, kept, and the person watching is obeyed."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from rtpose.errors import RtposeError
from rtpose.media.cameras import Camera
from rtpose.media.recording import Recorder, save_snapshot
from rtpose.media.saver import Saver
from rtpose.media.view import Action, Hud, View
from rtpose.pose import FrameResult

log = logging.getLogger(__name__)

_FPS_OVER_S = 2.0
"""The frame rate shown is that of the last seconds."""

_BLACK = 24
"""Brightest value of a picture that is called black: sensors do not give 0."""


class Session:
    """Shows results until the source ends or somebody quits.

    Parameters
    ----------
    camera : Camera
    view : View
    draw : callable
        Draws the people into their frame, in place.
    engine : str
        What runs the network, for the HUD.
    recorder : Recorder
    saver : Saver, optional
        Gets every shown frame's people, in the pixels of the camera, mirrored or not.
    mirror : bool
        Show and record the picture mirrored. A person's left stays the left.
    tell : callable, optional
        Gets the HUD once a second, for the terminal.

    Attributes
    ----------
    shown : int
        Frames shown.
    quit : bool
        Whether the person watching ended it.
    fault : str
        Why the last recording broke off; empty if none did. What is seen goes on without it.
    """

    def __init__(
        self,
        camera: Camera,
        view: View,
        draw: Callable[[FrameResult], None],
        engine: str,
        recorder: Recorder,
        *,
        saver: Saver | None = None,
        mirror: bool = False,
        tell: Callable[[Hud], None] | None = None,
    ) -> None:
        self.shown = 0
        self._camera = camera
        self._view = view
        self._draw = draw
        self._engine = engine
        self._recorder = recorder
        self._saver = saver
        self._mirror = mirror
        self._tell = tell
        self._told_s = 0.0
        self._began_s = math.inf  # when the first picture was shown
        self.quit = False
        self.fault = ""
        self._last: FrameResult | None = None
        self._age_ms = 0.0
        self._black = False
        self._times: deque[float] = deque()

    def run(self, results: Iterable[FrameResult | None]) -> None:
        """Show results, or the last one again where there is None, to the end or until quit.

        Raises
        ------
        RtposeError
            If what is saved cannot be written.
        """
        for result in results:
            for action in self._view.actions():
                self._obey(action)
            if self.quit:
                return
            if result is not None and not self._camera.paused.is_set():
                self._take(result)
            elif self._last is not None:
                if not self._camera.paused.is_set():  # there the picture is meant to stand
                    self._look_at_its_age(self._last)
                self._view.show(self._last, self._hud())
            self._tell_now_and_then()

    def _take(self, result: FrameResult) -> None:
        shown = mirrored(result) if self._mirror else result
        self._black = not (shown.frame.image[::8, ::8] >= _BLACK).any()
        self._draw(shown)
        self._last = shown
        self._times.append(self._camera.now_s())
        self._began_s = min(self._began_s, self._times[0])
        self._look_at_its_age(shown)
        self.shown += 1
        self._view.show(shown, self._hud())
        if self._saver:
            self._saver.write(result)
        with self._recording():
            self._recorder.write(shown)

    def _look_at_its_age(self, shown: FrameResult) -> None:
        self._age_ms = 1e3 * (self._camera.now_s() - shown.frame.time_s)

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Whatever is wrong with a recording is told, and ends no more than the recording."""
        try:
            yield
        except RtposeError as error:
            self.fault = str(error)
            log.warning("the recording broke off: %s", error)

    def _obey(self, action: Action) -> None:
        if action is Action.QUIT:
            self.quit = True
        elif action is Action.PAUSE:
            if self._camera.paused.is_set():
                self._camera.paused.clear()
            else:
                self._camera.paused.set()
        elif action is Action.MIRROR:
            self._mirror = not self._mirror
        elif action is Action.RECORD:
            if not self._recorder.wanted:
                self.fault = ""
                self._recorder.start()
                return
            with self._recording():
                self._recorder.stop()
        elif action is Action.SNAPSHOT and self._last is not None:
            try:
                log.warning("saved %s", save_snapshot(self._last.frame.image))
            except RtposeError as error:  # no reason to end what goes on
                log.warning("%s", error)

    def _hud(self) -> Hud:
        now_s = self._camera.now_s()
        while self._times and self._times[0] < now_s - _FPS_OVER_S:
            self._times.popleft()
        over_s = min(_FPS_OVER_S, max(now_s - self._began_s, 0.1))
        return Hud(
            fps=len(self._times) / over_s,
            latency_ms=self._age_ms,
            people=len(self._last.poses) if self._last else 0,
            engine=self._engine,
            recording=self._recorder.wanted,
            paused=self._camera.paused.is_set(),
            notice=self._notice(),
        )

    def _notice(self) -> str:
        waiting = self._camera.waiting
        if waiting is not None:
            return f"camera lost {self._camera.now_s() - waiting.since_s:.0f} s ago, trying again"
        if self.fault:
            return "the recording broke off"
        if self._black:
            return "the picture is black: is the lens covered?"
        return ""

    def _tell_now_and_then(self) -> None:
        now_s = time.monotonic()
        if self._tell and now_s - self._told_s >= 1:
            self._told_s = now_s
            self._tell(self._hud())


def mirrored(result: FrameResult) -> FrameResult:
    """The result as a mirror shows it: picture, boxes and joints; names stay, left is left."""
    frame, width = result.frame, result.frame.image.shape[1]
    poses = []
    for pose in result.poses:
        joints = pose.joints.copy()
        joints[:, 0] = width - 1 - joints[:, 0]  # points count from pixels' middles
        box = pose.box[[2, 1, 0, 3]]
        box[[0, 2]] = width - box[[0, 2]]  # boxes from their edges
        poses.append(replace(pose, joints=joints, box=box))
    image = np.ascontiguousarray(frame.image[:, ::-1])
    return FrameResult(replace(frame, image=image), tuple(poses))
