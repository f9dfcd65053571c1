"""The same number for the same person in every frame.

A new frame's poses are matched to where everybody should be by now (`rtpose.track`), all at once,
so that the sum of similarities is the largest possible. Of people who meet, what they wear tells
who is who. Everything counts in seconds and in body sizes: 5 and 60 frames a second, and small and
large pictures, behave alike.

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
from rtpose.track import (
    LIMB,
    SPEED,
    FloatArray,
    Seen,
    Track,
    body_size,
    correct,
    observe,
    predict,
    resume,
    spread_of,
    start,
)

# All of these in body sizes (the root of the box's area), and seconds.
# Weight of the boxes' overlap beside the joints' agreement, and the least similarity of a match.
_OVERLAP_WEIGHT = 0.3
_LEAST_SIMILARITY = 0.1
# How long a track that was seen only once is kept when it is not seen again.
_FIRST_GAP_S = 0.3

# Of colours, in CIE L*a*b*: lightness counts less, as it changes with where people stand.
_COLOURS = np.array([0.7, 1.0, 1.0])
# How far the colours of one and the same joint are apart (a standard deviation).
_COLOURS_APART = 12.0
# Likeness in clothes at which two are one person; who is less like somebody may still be him, so
# that a match is made that much less likely, but no less than `_LEAST_LIKENESS`.
_SAME_CLOTHES, _LEAST_LIKENESS = 0.6, 0.1
# The same after a cut, where hardly anybody is who stood there before, and in dim films all are
# dressed alike; enough for those of one scene that was taken for two.
_SAME_AFTER_CUT = 0.85
# What is assumed where there are no colours to compare.
_UNKNOWN_CLOTHES = 0.5
# Who appears so near to where somebody was lost, in body sizes, may be that one; more for each
# second, by `SPEED`.
_NEAR = 1.0
# How long such a newcomer is looked at before being somebody else.
_WAIT_S = 0.4

MAX_GAP_S = 1.0
"""Longest time that somebody who is not seen keeps the number, wherever he should be by then."""

REMEMBERED_S = 2.0
"""Longest time after which somebody is known again by clothes."""

_SLOWEST_S = 5.0
"""Longest time between two frames, as of a slow camera, of which the people of one may be those of
the other."""


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
        self._tracks: tuple[Track, ...] = ()
        self._next_id = 1
        self._cut = False
        self._time_s = np.inf  # so that the first frame begins as one does after a jump back

    def update(
        self,
        poses: Sequence[Pose],
        time_s: float,
        colours: NDArray[np.float32] | None = None,
        *,
        cut: bool = False,
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
        cut : bool
            Whether the frame is of another scene than the one before: nobody is where somebody was.

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
        predicted = [] if cut else [predict(track, time_s) for track in alive]
        order = _canonical_order(poses)
        seen = observe([poses[i] for i in order], None if colours is None else colours[order])
        matches = _match(predicted, seen)
        tracks = [
            correct(predicted[matches[position]], pose, time_s, step_s)
            if position in matches
            else start(pose, time_s)
            for position, pose in enumerate(seen)
        ]
        here = {alive[i] for i in matches.values()}
        lost = [t for t in self._tracks if t not in here and _is_kept(t, time_s, gap_s)]
        numbered = [track for track in lost if track.id is not None]

        self._cut = cut or (self._cut and all(track.id is None for track in tracks))
        newcomers = [position for position, track in enumerate(tracks) if track.id is None]
        least = _SAME_AFTER_CUT if self._cut else _SAME_CLOTHES
        again = _recognise([seen[n] for n in newcomers], numbered, time_s, least)
        for position, maybe in zip(newcomers, again, strict=True):
            track = tracks[position]
            if maybe.known is not None:
                lost.remove(maybe.known)
                tracks[position] = resume(track, maybe.known)
            elif begins or (
                position in matches
                and (not maybe.near or self._cut or time_s - track.first_s >= _WAIT_S)
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
        now = {identity: predict(seen[identity], time_s) for identity in sorted(seen)}
        return {identity: (track.joints, track.box) for identity, track in now.items()}


def _is_kept(track: Track, time_s: float, gap_s: float) -> bool:
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


@dataclass(frozen=True, slots=True, eq=False)
class _Newcomer:
    """Who a newcomer may be: the lost track that is known again, or whether one is near."""

    known: Track | None
    near: bool


def _recognise(
    newcomers: Sequence[Seen], lost: Sequence[Track], time_s: float, least: float
) -> list[_Newcomer]:
    """Which of the lost the newcomers are, by clothes, near to where those were seen last.

    `least` is the likeness from which on two are one.
    """
    if not newcomers or not lost:
        return [_Newcomer(None, near=False) for _ in newcomers]
    likeness, compared = _likeness(lost, newcomers)
    reach = np.array([body_size(t.box) * (_NEAR + SPEED * (time_s - t.last_s)) for t in lost])
    last = np.stack([t.box.reshape(2, 2).mean(0) for t in lost])
    now = np.stack([seen.box.reshape(2, 2).mean(0) for seen in newcomers])
    near = (np.linalg.norm(now[None] - last[:, None], axis=-1) <= reach[:, None]) & compared
    alike = np.where(near & (likeness >= least), likeness, 0.0)
    rows, columns = linear_sum_assignment(alike, maximize=True)
    known = {int(c): lost[r] for r, c in zip(rows, columns, strict=True) if alike[r, c] > 0}
    return [_Newcomer(known.get(c), bool(near[:, c].any())) for c in range(len(newcomers))]


def _likeness(
    tracks: Sequence[Track], seen: Sequence[Seen]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """How alike tracks (rows) and seen people (columns) are dressed, 0 to 1, and if it is known.

    The mean of exp(-d^2 / 2 s^2) over the joints that both have, as in `_similarity`, d being how
    far colours are apart.
    """
    learned = np.stack([track.colours for track in tracks])[:, None]
    colours = np.stack([person.colours for person in seen])[None]
    looked = np.stack([track.looked for track in tracks])[:, None] > 0
    weights = looked * np.stack([person.weights for person in seen])[None]
    apart = (((learned - colours) * _COLOURS) ** 2).sum(-1)
    total = weights.sum(-1)
    alike = (weights * np.exp(-apart / (2 * _COLOURS_APART**2))).sum(-1) / np.maximum(total, 1e-9)
    return np.where(total > 0, alike, _UNKNOWN_CLOTHES), total > 0


def _match(predicted: Sequence[Track], seen: Sequence[Seen]) -> dict[int, int]:
    """Position of the seen person to position of the track, for those that are similar enough."""
    if not predicted or not seen:
        return {}
    similarity = _similarity(predicted, seen)
    similarity[similarity < _LEAST_SIMILARITY] = 0.0
    # Someone hidden could be in many places, each of them less likely: without this factor of
    # the normal distribution a person in sight loses the number to one hidden behind.
    spread = np.array([spread_of(track) for track in predicted])
    alike, _ = _likeness(predicted, seen)
    likelihood = similarity * (LIMB / spread)[:, None] * np.maximum(alike, _LEAST_LIKENESS)
    rows, columns = linear_sum_assignment(likelihood, maximize=True)
    return {
        int(column): int(row)
        for row, column in zip(rows, columns, strict=True)
        if similarity[row, column] > 0
    }


def _similarity(predicted: Sequence[Track], seen: Sequence[Seen]) -> FloatArray:
    """How well each track (rows) and each seen person (columns) agree, 0 to 1.

    The joints' part is COCO's object keypoint similarity, the mean of exp(-d^2 / 2 s^2) over
    joints, weighted by their scores; s is as wide as the place of the track and the pose of the
    limbs are uncertain. Where the two share no sure joint the overlap of the boxes stands alone.
    """
    tracks = np.stack([track.joints for track in predicted])[:, None]
    joints = np.stack([person.joints for person in seen])[None]
    sizes = np.array([body_size(track.box) for track in predicted])
    spread = (sizes * [spread_of(track) for track in predicted])[:, None, None]
    distance = ((joints[..., :2] - tracks[..., :2]) ** 2).sum(-1)
    weights = np.sqrt(joints[..., 2] * tracks[..., 2])
    total = weights.sum(-1)
    agreement = (weights * np.exp(-distance / (2 * spread**2))).sum(-1) / np.maximum(total, 1e-9)
    overlap = box_iou(
        np.stack([track.box for track in predicted]), np.stack([person.box for person in seen])
    )
    mixed = (1 - _OVERLAP_WEIGHT) * agreement + _OVERLAP_WEIGHT * overlap
    return np.asarray(np.where(total > 0, mixed, overlap))
