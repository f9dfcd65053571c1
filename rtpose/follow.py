"""Where to look for people: the detector now and then, the last joints in between.

The detector runs on every n-th frame, and when half a second has gone by without it. In between,
everyone's box goes where the joints go, and grows where they reach out of it: it stays the
detector's in size, as a box made of joints alone would not on people who are half in the picture.

That takes the poses before, so it belongs to placing the joints, not to detecting: the detector's
part (`Follower.look`) runs ahead on frames it knows beforehand, and all that depends on poses
(`Follower.place`) is done in order. Results are therefore the same however the two overlap.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rtpose.claims import settle_poses
from rtpose.clothes import colours_at_joints
from rtpose.estimator import Estimator, FindPeople
from rtpose.geometry import box_iou
from rtpose.on_device import Picture
from rtpose.pose import (
    Detections,
    FloatArray,
    Frame,
    FrameResult,
    Image,
    Pose,
    check_image,
    poses_of,
)
from rtpose.scene import is_cut, sketch
from rtpose.smoothing import Smoother
from rtpose.track import SURE
from rtpose.tracker import Tracker

Upload = Callable[[Image], Picture]
"""A frame's picture to where the networks take it from, complete when it returns."""

PlaceJoints = Callable[[Picture, FloatArray], FloatArray]
"""A pose network: picture and boxes (N, 4) to joints (N, K, 3)."""

Smooth = Callable[[tuple[Pose, ...], float], tuple[Pose, ...]]
"""Poses with ids and the frame's time in seconds to the same with less jitter."""

NEWCOMER_S = 0.5
"""Longest time in seconds without the detector: whoever comes in is found at the first frame after
it, at any frame rate."""

_MARGIN = 0.02
"""What a detector's box has around the outermost joints at least, in parts of its longer side."""

_FALL = 0.6
"""Someone whose joints' mean score is below this part of what it was at the last detection is
taken for lost."""

_SAME = 0.6
"""Intersection over union above which two followed people are taken for one."""

_SEARCH_S = 0.3
"""How long every frame is detected after somebody went missing."""

_SOON_S = 0.12
"""Longest time between two frames of which the second may be taken for another scene: films have
more than ten a second, and what is slower shows the same scene changed as much."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame, its picture where the networks are, and what the detector found in it.

    None is found where it was not asked. `cut` tells that it is another scene than the one before.
    """

    frame: Frame
    picture: Picture
    found: Detections | None
    cut: bool


def new_follower(estimator: Estimator, detect_every: int = 1, *, smooth: bool = True) -> Follower:
    """Frames of one source to people with ids, of whom none has been seen yet.

    Parameters
    ----------
    estimator : Estimator
        Finds the people and their joints.
    detect_every : int
        See `Follower`.
    smooth : bool
        Whether joints are smoothed over time.
    """
    return Follower(
        estimator.detector,
        estimator.place_joints,
        upload=estimator.upload,
        detect_every=detect_every,
        smooth=Smoother().update if smooth else None,
    )


class Follower:
    """Frames to people with joints and ids, with as little detecting as asked.

    Parameters
    ----------
    detect : callable
        Finds people: picture to boxes (N, 4) and scores (N,); see `rtpose.estimator.Estimator`.
    place_joints : callable
        Picture and boxes (N, 4) to joints (N, K, 3).
    upload : callable, optional
        Called once for each frame; the other two get what it gives. Without it they get the
        frame's own picture.
    detect_every : int
        The detector runs on every n-th frame, on all that are more than half a second after the
        last detected one, on those that begin another scene or in which somebody followed is
        lost, and on those after one in which somebody had no id yet.
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
        *,
        upload: Upload = lambda image: image,
        detect_every: int = 1,
        smooth: Smooth | None = None,
    ) -> None:
        if detect_every < 1:
            raise ValueError(f"detect_every must be at least 1, not {detect_every}")
        self._detect = detect
        self._place_joints = place_joints
        self._upload = upload
        self._tracker = Tracker()
        self._detect_every = detect_every
        self._smooth = smooth
        # a frame that needs the detector out of turn may come while it looks at a later one
        self._detector_free = threading.Lock()
        # look's part
        self._frames_since = 0
        self._due_s = -np.inf
        self._scene: FloatArray | None = None
        self._scene_s = -np.inf
        # place's part
        self._shape: tuple[int, ...] = ()
        self._known: dict[int, _Known] = {}
        self._missing_s = -np.inf
        self._newcomers = False

    def __call__(self, frame: Frame) -> FrameResult:
        """Both steps at once."""
        return self.place(self.look(frame))

    def look(self, frame: Frame) -> Look:
        """Find people if the frame's turn has come; call it with every frame, in order.

        Raises
        ------
        ValueError
            If its picture is not (H, W, 3) uint8.
        """
        check_image(frame.image)
        self._frames_since += 1
        cut = self._cut_before(frame)
        picture = self._upload(frame.image)
        early = self._due_s - NEWCOMER_S  # the last detection, unless the clock was set back
        in_turn = self._frames_since >= self._detect_every
        if not (in_turn or cut) and early <= frame.time_s < self._due_s:
            return Look(frame, picture, None, cut)
        self._frames_since = 0
        self._due_s = frame.time_s + NEWCOMER_S
        return Look(frame, picture, self._find(picture), cut)

    def place(self, look: Look) -> FrameResult:
        """Place the joints of everyone and give ids; call it in the same order."""
        frame, picture, found = look.frame, look.picture, look.found
        poses = self._follow(frame, picture) if found is None else None
        detected = poses is None
        if poses is None:
            poses = self._pose(picture, found or self._find(picture))
        colours = colours_at_joints(frame.image, poses)
        poses = self._tracker.update(poses, frame.time_s, colours, cut=look.cut)
        self._remember(frame, poses, detected)
        # not before: where people cross, what each of them might be is what tells them apart
        poses = settle_poses(poses)
        if self._smooth:
            poses = self._smooth(poses, frame.time_s)
        return FrameResult(frame, poses)

    def _cut_before(self, frame: Frame) -> bool:
        before, before_s = self._scene, self._scene_s
        self._scene, self._scene_s = sketch(frame.image), frame.time_s
        soon = 0 <= frame.time_s - before_s <= _SOON_S
        return before is not None and soon and is_cut(before, self._scene)

    def _find(self, picture: Picture) -> Detections:
        with self._detector_free:
            return self._detect(picture)

    def _pose(self, picture: Picture, found: Detections) -> tuple[Pose, ...]:
        return poses_of(found, self._place_joints(picture, found[0]))

    def _follow(self, frame: Frame, picture: Picture) -> tuple[Pose, ...] | None:
        """Everyone of the last frame, or None if that takes the detector."""
        if frame.image.shape != self._shape or 0 <= frame.time_s - self._missing_s <= _SEARCH_S:
            return None
        if self._newcomers:  # is it somebody? the detector shall see them again
            return None
        expected = self._tracker.expected(frame.time_s)
        if expected.keys() != self._known.keys():
            return None
        if not expected:
            return ()
        image, known = frame.image, [self._known[identity] for identity in expected]
        last = [(j.astype(np.float32), b.astype(np.float32)) for j, b in expected.values()]
        before = [_box_with(box, joints, image) for joints, box in last]
        joints = self._place_joints(picture, np.stack(before))
        if any(j[:, 2].mean() < _FALL * k.joints for j, k in zip(joints, known, strict=True)):
            return None
        around = np.stack([_around(points) for points in joints])
        if not np.isfinite(around).all() or _same(around):
            return None
        poses = []
        for (then, box), now, k in zip(last, joints, known, strict=True):
            moved = box + np.tile(_shift(then, now), 2)
            poses.append(Pose(_box_with(moved, now, image), k.person, now))
        return tuple(poses)

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
        self._newcomers = any(pose.id is None for pose in poses)
        self._shape = frame.image.shape


@dataclass(frozen=True)
class _Known:
    """The detector's score of a person, and the mean of the joints', at the last detection."""

    person: float
    joints: float


def _around(joints: FloatArray) -> FloatArray:
    """Box (4,) around the sure joints (K, 3); turned inside out if there are less than four."""
    sure = joints[joints[:, 2] >= SURE, :2]
    if len(sure) < 4:
        return np.array([np.inf, np.inf, -np.inf, -np.inf], np.float32)
    low, high = sure.min(0) + 0.5, sure.max(0) + 0.5  # boxes count from pixels' edges
    margin = _MARGIN * float((high - low).max())
    return np.concatenate([low - margin, high + margin]).astype(np.float32)


def _box_with(box: FloatArray, joints: FloatArray, image: Image) -> FloatArray:
    """The box grown around the sure joints, and cut to the picture; at least a pixel is left."""
    around = _around(joints)
    low = np.minimum(box[:2], around[:2])
    high = np.maximum(box[2:], around[2:])
    size = np.array(image.shape[1::-1])
    low = np.clip(low, 0, size - 1)
    return np.concatenate([low, np.clip(high, low + 1, size)]).astype(np.float32)


def _shift(before: FloatArray, now: FloatArray) -> FloatArray:
    """Pixels (2,) that the joints sure in both have moved; one limb alone moves nobody."""
    both = (before[:, 2] >= SURE) & (now[:, 2] >= SURE)
    if not both.any():
        return np.zeros(2, np.float32)
    return np.asarray(np.median(now[both, :2] - before[both, :2], axis=0), np.float32)


def _same(boxes: FloatArray) -> bool:
    """Whether any two of the boxes (N, 4) hold one person."""
    return bool((np.triu(box_iou(boxes, boxes), 1) > _SAME).any())
