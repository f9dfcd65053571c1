"""Where to look for people: the detector now and then, the last joints in between.

The detector runs on every n-th frame, and when half a second has gone by without it. In between,
everyone's box is put around where the joints should be by now. That needs the pose before, so it
belongs to placing the joints, not to detecting: the detector's part (`Follower.look`) runs ahead
on frames it knows beforehand, and all that depends on poses (`Follower.place`) is done in order.
Results are therefore the same however the two overlap.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from rtpose.pose import FloatArray, Frame, FrameResult, Image, Pose
from rtpose.tracker import Tracker
from rtpose.yolo import box_iou

FindPeople = Callable[[Image], tuple[FloatArray, FloatArray]]
"""A detector: picture to boxes (N, 4) xyxy in pixels and scores (N,)."""

PlaceJoints = Callable[[Image, FloatArray], FloatArray]
"""A pose network: picture and boxes (N, 4) to joints (N, K, 3)."""

Smooth = Callable[[tuple[Pose, ...], float], tuple[Pose, ...]]
"""Poses with ids and the frame's time in seconds to the same with less jitter."""

NEWCOMER_S = 0.5
"""Longest time in seconds without the detector: whoever comes in is found at the first frame after
it, at any frame rate."""

MARGIN = 0.06
"""What a box has around the outermost joints, in parts of their longer extent: it makes boxes as
large as the detector's, on our clips, where the joints span 0.88 of a box's longer side."""

_FALL = 0.6
"""Someone whose joints' mean score is below this part of what it was at the last detection is
taken for lost."""

_SAME = 0.6
"""Intersection over union above which two followed people are taken for one."""

_SEARCH_S = 0.3
"""How long every frame is detected after somebody went missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame and what the detector found in it; None where it was not asked."""

    frame: Frame
    found: tuple[FloatArray, FloatArray] | None


class Follower:
    """Frames to people with joints and ids, with as little detecting as asked.

    Parameters
    ----------
    detect : callable
        Finds people: picture to boxes (N, 4) and scores (N,); see `rtpose.estimator.Estimator`.
    place_joints : callable
        Picture and boxes (N, 4) to joints (N, K, 3).
    tracker : Tracker, optional
        Gives ids and tells where people should be by now.
    detect_every : int
        The detector runs on every n-th frame, on all that are more than half a second after the
        last detected one, and on those in which somebody followed is lost.
    smooth : callable, optional
        Applied to what is returned; following goes by what was seen.

    Raises
    ------
    ValueError
        If `detect_every` is less than 1.
    """

    def __init__(
        self,
        detect: FindPeople,
        place_joints: PlaceJoints,
        tracker: Tracker | None = None,
        *,
        detect_every: int = 1,
        smooth: Smooth | None = None,
    ) -> None:
        if detect_every < 1:
            raise ValueError(f"detect_every must be at least 1, not {detect_every}")
        self._detect = detect
        self._place_joints = place_joints
        self._tracker = tracker or Tracker()
        self._detect_every = detect_every
        self._smooth = smooth
        # a frame that needs the detector out of turn may come while it looks at a later one
        self._detector_free = threading.Lock()
        # look's part
        self._frames_since = 0
        self._due_s = -np.inf
        # place's part
        self._shape: tuple[int, ...] = ()
        self._known: dict[int, _Known] = {}
        self._missing_s = -np.inf

    def __call__(self, frame: Frame) -> FrameResult:
        """Both steps at once."""
        return self.place(self.look(frame))

    def look(self, frame: Frame) -> Look:
        """Find people if the frame's turn has come; call it with every frame, in order."""
        self._frames_since += 1
        early = self._due_s - NEWCOMER_S  # the last detection, unless the clock was set back
        if self._frames_since < self._detect_every and early <= frame.time_s < self._due_s:
            return Look(frame, None)
        self._frames_since = 0
        self._due_s = frame.time_s + NEWCOMER_S
        return Look(frame, self._find(frame.image))

    def place(self, look: Look) -> FrameResult:
        """Place the joints of everyone and give ids; call it in the same order."""
        frame, found = look.frame, look.found
        poses = self._follow(frame) if found is None else None
        detected = poses is None
        if poses is None:
            poses = self._pose(frame.image, *(found or self._find(frame.image)))
        poses = self._tracker.update(poses, frame.time_s)
        self._remember(frame, poses, detected)
        if self._smooth:
            poses = self._smooth(poses, frame.time_s)
        return FrameResult(frame, poses)

    def _find(self, image: Image) -> tuple[FloatArray, FloatArray]:
        with self._detector_free:
            return self._detect(image)

    def _pose(self, image: Image, boxes: FloatArray, scores: FloatArray) -> tuple[Pose, ...]:
        joints = self._place_joints(image, boxes)
        return tuple(
            Pose(box, float(score), points)
            for box, score, points in zip(boxes, scores, joints, strict=True)
        )

    def _follow(self, frame: Frame) -> tuple[Pose, ...] | None:
        """Everyone of the last frame, or None if that takes the detector."""
        if frame.image.shape != self._shape or 0 <= frame.time_s - self._missing_s <= _SEARCH_S:
            return None
        expected = self._tracker.expected(frame.time_s)
        if expected.keys() != self._known.keys():
            return None
        if not expected:
            return ()
        image, known = frame.image, [self._known[identity] for identity in expected]
        before = _boxes_around([j.astype(np.float32) for j in expected.values()], image)
        if before is None:
            return None
        joints = self._place_joints(image, before)
        if any(j[:, 2].mean() < _FALL * k.joints for j, k in zip(joints, known, strict=True)):
            return None
        boxes = _boxes_around(joints, image)
        if boxes is None or (np.triu(box_iou(boxes, boxes), 1) > _SAME).any():
            return None
        return tuple(
            Pose(box, k.person, points) for box, k, points in zip(boxes, known, joints, strict=True)
        )

    def _remember(self, frame: Frame, poses: tuple[Pose, ...], detected: bool) -> None:
        known = {}
        for pose in poses:
            if pose.id is None:
                continue
            before = None if detected else self._known.get(pose.id)
            known[pose.id] = before or _Known(pose.score, float(pose.joints[:, 2].mean()))
        if self._known.keys() - known.keys():
            self._missing_s = frame.time_s
        self._known = known
        self._shape = frame.image.shape


@dataclass(frozen=True)
class _Known:
    """The detector's score of a person, and the mean of the joints', at the last detection."""

    person: float
    joints: float


def _boxes_around(people: Iterable[FloatArray], image: Image) -> FloatArray | None:
    """Boxes (N, 4), or None if too little is left of anyone."""
    boxes = [box_around(joints, image.shape) for joints in people]
    some = [box for box in boxes if box is not None]
    return np.stack(some) if len(some) == len(boxes) else None


def box_around(joints: FloatArray, shape: tuple[int, ...]) -> FloatArray | None:
    """A person's box from the joints, as a detector would draw it.

    Parameters
    ----------
    joints : (K, 3)
        x, y in pixels and a score; those below 0.2 are left out.
    shape : (H, W, ...)
        Of the picture, to which the box is cut.

    Returns
    -------
    (4,) float32 or None
        x0, y0, x1, y1; None if too little of the person is left to go by: less than four joints,
        or a box of less than a pixel.
    """
    sure = joints[joints[:, 2] >= 0.2, :2]
    if len(sure) < 4:
        return None
    low, high = sure.min(0) + 0.5, sure.max(0) + 0.5  # boxes count from pixels' edges
    margin = MARGIN * float((high - low).max())
    size = np.array(shape[1::-1])
    corners = np.clip([low - margin, high + margin], 0, size)
    if (corners[1] - corners[0] < 1).any():
        return None
    return np.asarray(corners.reshape(4), np.float32)
