"""The same number for the same person in every frame.

Each person seen is a track: the last joints, a velocity, and how uncertain both have become since
(a Kalman filter with constant velocity, one for the whole body, in units of the person's size).
A new frame's poses are matched to where the tracks should be by now, all at once, so that the sum
of similarities is the largest possible. Everything counts in seconds and in body sizes: 5 and 60
frames a second, and small and large pictures, behave alike.

Numbers rise and are never used again. Whoever is in the first frame gets one at once, who comes
later when seen a second time: most false alarms are there for a single frame, and get none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rtpose.geometry import box_iou
from rtpose.pose import Pose

FloatArray = NDArray[np.float64]

# All of these in body sizes (the root of the box's area), and seconds.
# How fast a newcomer may move: about one body height a second.
_SPEED = 1.5
# How much velocities change: variance per second, of someone who stops or turns within a second.
_AGILITY = 1.0
# How far the middle of a body is off from frame to frame, by the errors of its joints.
_NOISE = 0.03
# How far single joints stray from where the body's motion takes them: swinging limbs, errors.
_LIMB = 0.15
# Weight of the boxes' overlap beside the joints' agreement, and the least similarity of a match.
_OVERLAP_WEIGHT = 0.3
_LEAST_SIMILARITY = 0.1
# How long a track that was seen only once is kept when it is not seen again.
_FIRST_GAP_S = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """One person's whereabouts when last seen.

    `variance` is the filter's (2, 2) covariance of place and velocity along either axis, in body
    sizes; `velocity` is in pixels a second. `id` is None for a newcomer.
    """

    id: int | None
    joints: FloatArray
    box: FloatArray
    velocity: FloatArray
    variance: FloatArray
    first_s: float
    last_s: float


MAX_GAP_S = 1.0
"""Longest time that somebody who is not seen keeps the number."""

_SLOWEST_S = 5.0
"""Longest time between two frames, as of a slow camera, of which the people of one may be those of
the other."""

SURE = 0.2
"""Joints with a lower score say nothing about where a person is."""


class Tracker:
    """Gives poses stable ids.

    A person who is hidden or missed for up to `MAX_GAP_S` keeps the number, after that it is a
    newcomer; where frames are further apart, so does who was seen in the one before. A track
    younger than that is kept only for as long as it has been seen, plus 0.3 s, so that false alarms
    do not linger. What a tracker knows is the people of the last `MAX_GAP_S` seconds and the next
    free number: its memory does not grow with the length of the video.
    """

    def __init__(self) -> None:
        self._tracks: tuple[_Track, ...] = ()
        self._next_id = 1
        self._time_s = np.inf  # so that the first frame begins as one does after a jump back

    def update(self, poses: Sequence[Pose], time_s: float) -> tuple[Pose, ...]:
        """Take the poses of one frame, give them back in the same order with their ids.

        The ids do not depend on the order of the poses (of poses that differ at all).

        Parameters
        ----------
        poses : sequence of Pose
            All people of the frame, with the same number of joints throughout. A newcomer gets no
            id yet. A pose whose box is not finite and not larger than nothing is nobody and never
            gets one.
        time_s : float
            The frame's time. A frame a little earlier than the last is taken as of the same
            moment; a jump back by more than `MAX_GAP_S`, as when a stream starts anew, forgets
            everyone, and the frame counts as the first.

        Raises
        ------
        ValueError
            If the time is not finite.
        """
        if not np.isfinite(time_s):
            raise ValueError(f"the time of a frame must be finite, not {time_s}")
        begins = time_s < self._time_s - MAX_GAP_S
        if begins:
            self._tracks = ()
        else:
            time_s = max(time_s, self._time_s)
        step_s = time_s - self._time_s
        self._time_s = time_s

        gap_s = max(MAX_GAP_S, step_s) if step_s <= _SLOWEST_S else MAX_GAP_S
        alive = [t for t in self._tracks if time_s - t.last_s <= gap_s]
        predicted = [_predict(track, time_s) for track in alive]
        order = _canonical_order(poses)
        seen = [_observe(poses[i]) for i in order]
        matches = _match(predicted, seen)

        ids: list[int | None] = [None] * len(poses)
        tracks = []
        for position, (joints, box) in enumerate(seen):
            if position in matches:
                track = _correct(predicted[matches[position]], joints, box, time_s)
            else:
                track = _start(joints, box, time_s)
            if track.id is None and (begins or position in matches):
                track = replace(track, id=self._next_id)
                self._next_id += 1
            tracks.append(track)
            ids[order[position]] = track.id
        matched = set(matches.values())
        tracks += [t for i, t in enumerate(alive) if i not in matched and _is_kept(t, time_s)]
        self._tracks = tuple(tracks)
        return tuple(replace(pose, id=i) for pose, i in zip(poses, ids, strict=True))

    def expected(self, time_s: float) -> dict[int, tuple[FloatArray, FloatArray]]:
        """Where everyone with an id who was seen in the last frame should be by now.

        Parameters
        ----------
        time_s : float
            Of a frame that is not yet seen; one before the last is taken as of the same moment.

        Returns
        -------
        dict of int to (joints, box)
            Ids, rising; joints (K, 3) float64: x, y in pixels and the score, all 0 for those too
            unsure to say anything; box (4,) float64.
        """
        time_s = max(time_s, self._time_s)
        seen = {t.id: t for t in self._tracks if t.id is not None and t.last_s == self._time_s}
        now = {identity: _predict(seen[identity], time_s) for identity in sorted(seen)}
        return {identity: (track.joints, track.box) for identity, track in now.items()}


def _is_kept(track: _Track, time_s: float) -> bool:
    """Whether to wait for somebody who was not found this time."""
    return time_s - track.last_s <= _FIRST_GAP_S + track.last_s - track.first_s


def _canonical_order(poses: Sequence[Pose]) -> list[int]:
    """Positions of the poses that can be followed, in an order that is theirs alone."""
    usable = [
        i
        for i, pose in enumerate(poses)
        if np.isfinite(pose.box).all() and (pose.box[2:] > pose.box[:2]).all()
    ]
    return sorted(usable, key=lambda i: (*poses[i].box.tolist(), poses[i].joints.tobytes()))


def _observe(pose: Pose) -> tuple[FloatArray, FloatArray]:
    """Joints (K, 3) and box (4,) of a pose; joints that say nothing become 0 with score 0."""
    joints = pose.joints.astype(np.float64)
    sure = np.isfinite(joints).all(1) & (joints[:, 2] >= SURE)
    return np.where(sure[:, None], joints, 0.0), pose.box.astype(np.float64)


def _size(box: FloatArray) -> float:
    """Size of a body in pixels: the root of its box's area, at least a pixel."""
    return max(float(np.sqrt(np.prod(box[2:] - box[:2]))), 1.0)


def _start(joints: FloatArray, box: FloatArray, time_s: float) -> _Track:
    variance = np.diag([_NOISE**2, _SPEED**2])
    return _Track(None, joints, box, np.zeros(2), variance, time_s, time_s)


def _predict(track: _Track, time_s: float) -> _Track:
    """Where the person should be by now, if the velocity stayed about the same."""
    dt = time_s - track.last_s
    step = np.array([[1.0, dt], [0.0, 1.0]])
    # White noise acceleration, integrated (Bar-Shalom et al. 2001, section 6.2.2).
    drift = _AGILITY * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    return replace(
        track,
        joints=_moved(track.joints, track.velocity * dt),
        box=track.box + np.tile(track.velocity * dt, 2),
        variance=step @ track.variance @ step.T + drift,
    )


def _correct(track: _Track, joints: FloatArray, box: FloatArray, time_s: float) -> _Track:
    """Kalman update of a predicted track with what was seen."""
    surprise = _displacement(track, joints, box)
    place_gain, velocity_gain = track.variance[:, 0] / (track.variance[0, 0] + _NOISE**2)
    variance = track.variance - np.outer([place_gain, velocity_gain], track.variance[0])
    # The shape is the new one; the place lies between the prediction and the new one.
    back = (place_gain - 1) * surprise
    dt = time_s - track.last_s
    velocity = track.velocity + velocity_gain * surprise
    return replace(
        track,
        joints=_moved(joints, back),
        box=box + np.tile(back, 2),
        # Two frames of the same moment say nothing about velocity.
        velocity=velocity if dt > 0 else track.velocity,
        variance=(variance + variance.T) / 2,
        last_s=time_s,
    )


def _moved(joints: FloatArray, by: FloatArray) -> FloatArray:
    return np.asarray(joints + np.append(by, 0.0))


def _displacement(track: _Track, joints: FloatArray, box: FloatArray) -> FloatArray:
    """Pixels (2,) from the predicted to the seen body.

    Taken over the joints both have, so that a leg that comes into view moves nobody; over the
    boxes' centres only if there are none.
    """
    weights = np.sqrt(track.joints[:, 2] * joints[:, 2])
    if weights.any():
        shifts = joints[:, :2] - track.joints[:, :2]
        return np.asarray(np.average(shifts, axis=0, weights=weights))
    return np.asarray((box - track.box).reshape(2, 2).mean(0))


def _match(
    predicted: Sequence[_Track], seen: Sequence[tuple[FloatArray, FloatArray]]
) -> dict[int, int]:
    """Position of the seen person to position of the track, for those that are similar enough."""
    if not predicted or not seen:
        return {}
    similarity = _similarity(predicted, seen)
    similarity[similarity < _LEAST_SIMILARITY] = 0.0
    # Someone hidden could be in many places, each of them less likely: without this factor of
    # the normal distribution a person in sight loses the number to one hidden behind.
    spread = np.array([_spread(track) for track in predicted])
    likelihood = similarity * (_LIMB / spread)[:, None]
    rows, columns = linear_sum_assignment(likelihood, maximize=True)
    return {
        int(column): int(row)
        for row, column in zip(rows, columns, strict=True)
        if similarity[row, column] > 0
    }


def _spread(track: _Track) -> float:
    """How far joints may lie from the predicted ones, in body sizes (a standard deviation)."""
    return float(np.sqrt(track.variance[0, 0] + _LIMB**2))


def _similarity(
    predicted: Sequence[_Track], seen: Sequence[tuple[FloatArray, FloatArray]]
) -> FloatArray:
    """How well each track (rows) and each seen person (columns) agree, 0 to 1.

    The joints' part is COCO's object keypoint similarity, the mean of exp(-d^2 / 2 s^2) over
    joints, weighted by their scores; s is as wide as the place of the track and the pose of the
    limbs are uncertain. Where the two share no sure joint the overlap of the boxes stands alone.
    """
    tracks = np.stack([track.joints for track in predicted])[:, None]
    joints = np.stack([pair[0] for pair in seen])[None]
    sizes = np.array([_size(track.box) for track in predicted])
    spread = (sizes * [_spread(track) for track in predicted])[:, None, None]
    distance = ((joints[..., :2] - tracks[..., :2]) ** 2).sum(-1)
    weights = np.sqrt(joints[..., 2] * tracks[..., 2])
    total = weights.sum(-1)
    agreement = (weights * np.exp(-distance / (2 * spread**2))).sum(-1) / np.maximum(total, 1e-9)
    overlap = box_iou(
        np.stack([track.box for track in predicted]), np.stack([pair[1] for pair in seen])
    )
    mixed = (1 - _OVERLAP_WEIGHT) * agreement + _OVERLAP_WEIGHT * overlap
    return np.asarray(np.where(total > 0, mixed, overlap))
