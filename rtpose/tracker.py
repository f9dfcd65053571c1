"""The same number for the same person in every frame.

Each person seen is a track: the last joints, a velocity, and how uncertain both have become since
(a Kalman filter with constant velocity, one for the whole body, in units of the person's size).
A new frame's poses are matched to where the tracks should be by now, all at once, so that the sum
of similarities is the largest possible. Of people who meet, what they wear tells who is who: each
track learns the colours at its joints. Everything counts in seconds and in body sizes: 5 and 60
frames a second, and small and large pictures, behave alike.

Numbers rise and are never given to another. Whoever is in the first frame gets one at once, who
comes later when seen a second time: most false alarms are there for a single frame, and get none.
Who turns up where somebody was lost is looked at a little longer, and if dressed alike has the old
number back.
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

# Of colours, in CIE L*a*b*: lightness counts less, as it changes with where people stand.
_COLOURS = np.array([0.7, 1.0, 1.0])
# How far the colours of one and the same joint are apart (a standard deviation).
_COLOURS_APART = 12.0
# Seconds of looking that colours are the mean of, and what a first look is worth.
_MEMORY_S, _FIRST_LOOK_S = 2.0, 0.1
# What joints inside somebody else's box weigh, as that one's clothes may be seen there; nothing is
# learned from them but at first sight, for want of better.
_COVERED = 0.2
# Likeness in clothes at which two are one person; who is less like somebody may still be him, so
# that a match is made that much less likely, but no less than `_LEAST_LIKENESS`.
_SAME_CLOTHES, _LEAST_LIKENESS = 0.6, 0.1
# What is assumed where there are no colours to compare.
_UNKNOWN_CLOTHES = 0.5
# Who appears so near to where somebody was lost, in body sizes, may be that one; more for each
# second, by `_SPEED`.
_NEAR = 1.0
# How long such a newcomer is looked at before being somebody else.
_WAIT_S = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """One person's whereabouts when last seen.

    `variance` is the filter's (2, 2) covariance of place and velocity along either axis, in body
    sizes; `velocity` is in pixels a second. `id` is None for a newcomer. `colours` (K, 3) are those
    at the joints and `looked` (K,) the seconds, weighted by score, that each was looked at.
    """

    id: int | None
    joints: FloatArray
    box: FloatArray
    velocity: FloatArray
    variance: FloatArray
    first_s: float
    last_s: float
    colours: FloatArray
    looked: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A pose of this frame; `weights` (K,) say how much each of the colours (K, 3) tells of it."""

    joints: FloatArray
    box: FloatArray
    colours: FloatArray
    weights: FloatArray
    covered: NDArray[np.bool_]


MAX_GAP_S = 1.0
"""Longest time that somebody who is not seen keeps the number, wherever he should be by then."""

REMEMBERED_S = 2.0
"""Longest time after which somebody is known again by clothes."""

_SLOWEST_S = 5.0
"""Longest time between two frames, as of a slow camera, of which the people of one may be those of
the other."""

SURE = 0.2
"""Joints with a lower score say nothing about where a person is."""


class Tracker:
    """Gives poses stable ids.

    A person who is hidden or missed for up to `MAX_GAP_S` keeps the number, up to `REMEMBERED_S` if
    recognised by clothes, and is a newcomer after that; where frames are further apart, so does who
    was seen in the one before. A track younger than that is kept only for as long as it has been
    seen, plus 0.3 s, so that false alarms do not linger. What a tracker knows is the people of the
    last `REMEMBERED_S` seconds and the next free number: its memory does not grow with the length
    of the video.
    """

    def __init__(self) -> None:
        self._tracks: tuple[_Track, ...] = ()
        self._next_id = 1
        self._time_s = np.inf  # so that the first frame begins as one does after a jump back

    def update(
        self,
        poses: Sequence[Pose],
        time_s: float,
        colours: NDArray[np.float32] | None = None,
    ) -> tuple[Pose, ...]:
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
        colours : (N, K, 3) float32, optional
            Of the poses at their joints, see `rtpose.clothes`. Without them people are followed by
            where they are alone.

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
        seen = _observe([poses[i] for i in order], None if colours is None else colours[order])
        matches = _match(predicted, seen)
        tracks = [
            _correct(predicted[matches[position]], pose, time_s)
            if position in matches
            else _start(pose, time_s)
            for position, pose in enumerate(seen)
        ]
        here = {alive[i] for i in matches.values()}
        lost = [t for t in self._tracks if t not in here and _is_kept(t, time_s, gap_s)]
        numbered = [track for track in lost if track.id is not None]

        newcomers = [position for position, track in enumerate(tracks) if track.id is None]
        again = _recognise([seen[n] for n in newcomers], numbered, time_s)
        for position, maybe in zip(newcomers, again, strict=True):
            track = tracks[position]
            if maybe.known is not None:
                lost.remove(maybe.known)
                tracks[position] = _again(track, maybe.known)
            elif begins or (
                position in matches and (not maybe.near or time_s - track.first_s >= _WAIT_S)
            ):
                tracks[position] = replace(track, id=self._next_id)
                self._next_id += 1
        ids: list[int | None] = [None] * len(poses)
        for position, track in zip(order, tracks, strict=True):
            ids[position] = track.id
        self._tracks = (*tracks, *lost)
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


def _is_kept(track: _Track, time_s: float, gap_s: float) -> bool:
    """Whether to wait for somebody who was not found this time."""
    longest = gap_s if track.id is None else max(gap_s, REMEMBERED_S)
    return time_s - track.last_s <= min(_FIRST_GAP_S + track.last_s - track.first_s, longest)


def _canonical_order(poses: Sequence[Pose]) -> list[int]:
    """Positions of the poses that can be followed, in an order that is theirs alone."""
    usable = [
        i
        for i, pose in enumerate(poses)
        if np.isfinite(pose.box).all() and (pose.box[2:] > pose.box[:2]).all()
    ]
    return sorted(usable, key=lambda i: (*poses[i].box.tolist(), poses[i].joints.tobytes()))


def _observe(poses: Sequence[Pose], colours: NDArray[np.float32] | None) -> list[_Seen]:
    """What is seen of poses; joints that say nothing become 0 with score 0."""
    if not poses:
        return []
    joints = np.stack([pose.joints for pose in poses]).astype(np.float64)
    sure = np.isfinite(joints).all(-1) & (joints[..., 2] >= SURE)
    joints = np.where(sure[..., None], joints, 0.0)
    boxes = np.stack([pose.box for pose in poses]).astype(np.float64)
    places, around = joints[:, None, :, :2], boxes[None, :, None]
    inside = np.all((places >= around[..., :2]) & (places <= around[..., 2:]), axis=-1)
    others = ~np.eye(len(poses), dtype=bool)[..., None]
    covered = np.any(np.asarray(inside) & others, axis=1)
    told = np.zeros_like(joints[..., 2]) if colours is None else joints[..., 2]
    dressed = np.zeros_like(joints) if colours is None else colours.astype(np.float64)
    return [_Seen(*each) for each in zip(joints, boxes, dressed, told, covered, strict=True)]


def _size(box: FloatArray) -> float:
    """Size of a body in pixels: the root of its box's area, at least a pixel."""
    return max(float(np.sqrt(np.prod(box[2:] - box[:2]))), 1.0)


def _start(seen: _Seen, time_s: float) -> _Track:
    variance = np.diag([_NOISE**2, _SPEED**2])
    looked = _FIRST_LOOK_S * np.where(seen.covered, _COVERED, 1.0) * seen.weights
    return _Track(
        None, seen.joints, seen.box, np.zeros(2), variance, time_s, time_s, seen.colours, looked
    )


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


def _correct(track: _Track, seen: _Seen, time_s: float) -> _Track:
    """Kalman update of a predicted track with what was seen."""
    joints, box = seen.joints, seen.box
    surprise = _displacement(track, joints, box)
    place_gain, velocity_gain = track.variance[:, 0] / (track.variance[0, 0] + _NOISE**2)
    variance = track.variance - np.outer([place_gain, velocity_gain], track.variance[0])
    # The shape is the new one; the place lies between the prediction and the new one.
    back = (place_gain - 1) * surprise
    dt = time_s - track.last_s
    velocity = track.velocity + velocity_gain * surprise
    look = np.where(seen.covered, 0.0, seen.weights) * dt
    looked = track.looked + look
    learned = np.divide(look, looked, out=np.zeros_like(look), where=looked > 0)
    return replace(
        track,
        joints=_moved(joints, back),
        box=box + np.tile(back, 2),
        # Two frames of the same moment say nothing about velocity.
        velocity=velocity if dt > 0 else track.velocity,
        variance=(variance + variance.T) / 2,
        last_s=time_s,
        colours=track.colours + learned[:, None] * (seen.colours - track.colours),
        looked=np.minimum(looked, _MEMORY_S),
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


@dataclass(frozen=True, slots=True, eq=False)
class _Newcomer:
    """Who a newcomer may be: the lost track that is known again, or whether one is near."""

    known: _Track | None
    near: bool


def _recognise(
    newcomers: Sequence[_Seen], lost: Sequence[_Track], time_s: float
) -> list[_Newcomer]:
    """Which of the lost the newcomers are, by clothes, near to where those were seen last."""
    if not newcomers or not lost:
        return [_Newcomer(None, near=False) for _ in newcomers]
    likeness, compared = _likeness(lost, newcomers)
    reach = np.array([_size(t.box) * (_NEAR + _SPEED * (time_s - t.last_s)) for t in lost])
    last = np.stack([t.box.reshape(2, 2).mean(0) for t in lost])
    now = np.stack([seen.box.reshape(2, 2).mean(0) for seen in newcomers])
    near = (np.linalg.norm(now[None] - last[:, None], axis=-1) <= reach[:, None]) & compared
    alike = np.where(near & (likeness >= _SAME_CLOTHES), likeness, 0.0)
    rows, columns = linear_sum_assignment(alike, maximize=True)
    known = {int(c): lost[r] for r, c in zip(rows, columns, strict=True) if alike[r, c] > 0}
    return [_Newcomer(known.get(c), bool(near[:, c].any())) for c in range(len(newcomers))]


def _again(track: _Track, known: _Track) -> _Track:
    """A newcomer's track that is a lost one's: where it is, but with all that is known of it."""
    return replace(
        track, id=known.id, first_s=known.first_s, colours=known.colours, looked=known.looked
    )


def _likeness(
    tracks: Sequence[_Track], seen: Sequence[_Seen]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """How alike tracks (rows) and seen people (columns) are dressed, 0 to 1, and if it is known.

    The mean of exp(-d^2 / 2 s^2) over the joints that both have, as in `_similarity`, d being how
    far colours are apart.
    """
    learned = np.stack([track.colours for track in tracks])[:, None]
    colours = np.stack([person.colours for person in seen])[None]
    looked = np.stack([track.looked for track in tracks])[:, None] > 0
    told = np.stack([np.where(p.covered, _COVERED, 1.0) * p.weights for p in seen])[None]
    weights = looked * told
    apart = (((learned - colours) * _COLOURS) ** 2).sum(-1)
    total = weights.sum(-1)
    alike = (weights * np.exp(-apart / (2 * _COLOURS_APART**2))).sum(-1) / np.maximum(total, 1e-9)
    return np.where(total > 0, alike, _UNKNOWN_CLOTHES), total > 0


def _match(predicted: Sequence[_Track], seen: Sequence[_Seen]) -> dict[int, int]:
    """Position of the seen person to position of the track, for those that are similar enough."""
    if not predicted or not seen:
        return {}
    similarity = _similarity(predicted, seen)
    similarity[similarity < _LEAST_SIMILARITY] = 0.0
    # Someone hidden could be in many places, each of them less likely: without this factor of
    # the normal distribution a person in sight loses the number to one hidden behind.
    spread = np.array([_spread(track) for track in predicted])
    alike, _ = _likeness(predicted, seen)
    likelihood = similarity * (_LIMB / spread)[:, None] * np.maximum(alike, _LEAST_LIKENESS)
    rows, columns = linear_sum_assignment(likelihood, maximize=True)
    return {
        int(column): int(row)
        for row, column in zip(rows, columns, strict=True)
        if similarity[row, column] > 0
    }


def _spread(track: _Track) -> float:
    """How far joints may lie from the predicted ones, in body sizes (a standard deviation)."""
    return float(np.sqrt(track.variance[0, 0] + _LIMB**2))


def _similarity(predicted: Sequence[_Track], seen: Sequence[_Seen]) -> FloatArray:
    """How well each track (rows) and each seen person (columns) agree, 0 to 1.

    The joints' part is COCO's object keypoint similarity, the mean of exp(-d^2 / 2 s^2) over
    joints, weighted by their scores; s is as wide as the place of the track and the pose of the
    limbs are uncertain. Where the two share no sure joint the overlap of the boxes stands alone.
    """
    tracks = np.stack([track.joints for track in predicted])[:, None]
    joints = np.stack([person.joints for person in seen])[None]
    sizes = np.array([_size(track.box) for track in predicted])
    spread = (sizes * [_spread(track) for track in predicted])[:, None, None]
    distance = ((joints[..., :2] - tracks[..., :2]) ** 2).sum(-1)
    weights = np.sqrt(joints[..., 2] * tracks[..., 2])
    total = weights.sum(-1)
    agreement = (weights * np.exp(-distance / (2 * spread**2))).sum(-1) / np.maximum(total, 1e-9)
    overlap = box_iou(
        np.stack([track.box for track in predicted]), np.stack([person.box for person in seen])
    )
    mixed = (1 - _OVERLAP_WEIGHT) * agreement + _OVERLAP_WEIGHT * overlap
    return np.asarray(np.where(total > 0, mixed, overlap))
