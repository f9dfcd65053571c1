"""Joints that rest when the person rests, and follow when the person moves.

The 1-euro filter (Casiez, Roussel and Vogel, CHI 2012): a low-pass whose cutoff rises with the
joint's speed. Speeds count in body sizes a second and time in seconds, so that small and large
people, and 5 and 60 frames a second, are filtered alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpose.pose import Pose

FloatArray = NDArray[np.float64]

# At 30 frames a second they take more than half of a sure joint's jitter, for a lag of half a
# frame: see benchmarks/results/smoothing.md.
_MIN_CUTOFF_HZ = 0.5
_BETA = 6.0
# Cutoff of the speed, as in the paper.
_SPEED_CUTOFF_HZ = 1.0
# A body most of whose joints are this many sizes from their smoothed places did not move there.
_JUMP = 0.5
# Someone not seen for longer starts anew.
_GAP_S = 0.5
# Times closer than this say nothing about speed.
_LEAST_STEP_S = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """One person when last seen, in pixels and seconds; NaN for a joint that was nowhere."""

    time_s: float
    smooth: FloatArray  # (K, 2)
    velocity: FloatArray  # (K, 2), smoothed


class Smoother:
    """Takes the jitter out of the joints of people who have ids.

    A joint's smoothed place goes ``1 - exp(-2 pi f dt)`` of the way to the given one, with the
    cutoff ``f = min_cutoff_hz + beta * score**2 * speed``. The score counts because unsure joints
    shake most and flip from one limb to the other, which looks like speed. A person most of whose
    joints jump by more than half a body size, or who was away for more than half a second, starts
    anew there, and so does a joint that had no place before; nothing is kept of people who are
    away for longer.

    Parameters
    ----------
    min_cutoff_hz : float
        Cutoff of a joint at rest: the lower, the calmer and slower.
    beta : float
        By how many hertz the cutoff rises with each body size a second: the higher, the closer
        fast movements are followed. A body size is the root of the box's area.

    Raises
    ------
    ValueError
        If a parameter is not a positive number.
    """

    def __init__(self, *, min_cutoff_hz: float = _MIN_CUTOFF_HZ, beta: float = _BETA) -> None:
        if not (0 < min_cutoff_hz < np.inf and 0 < beta < np.inf):
            raise ValueError(
                f"min_cutoff_hz and beta must be positive, not {min_cutoff_hz} and {beta}"
            )
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._people: dict[int, _Past] = {}
        self._time_s = -np.inf

    def update(self, poses: Sequence[Pose], time_s: float) -> tuple[Pose, ...]:
        """Take the poses of one frame, give them back in the same order with smoothed joints.

        Boxes and scores stay as they are; so do poses without an id, and joints whose
        coordinates are not finite.

        Parameters
        ----------
        poses : sequence of Pose
            All people of the frame, no id twice, with the same number of joints throughout.
        time_s : float
            The frame's time. A frame a little earlier than the last is taken as of the same
            moment, in which nothing moves; one more than half a second earlier, as when a stream
            starts anew, forgets everyone.

        Raises
        ------
        ValueError
            If the time is not finite.
        """
        if not np.isfinite(time_s):
            raise ValueError(f"the time of a frame must be finite, not {time_s}")
        if time_s < self._time_s - _GAP_S:
            self._people = {}
        else:
            time_s = max(time_s, self._time_s)
        self._time_s = time_s
        self._people = {
            i: past for i, past in self._people.items() if time_s - past.time_s <= _GAP_S
        }
        people = [pose for pose in poses if pose.id is not None]
        if not people:
            return tuple(poses)
        smoothed = iter(self._smooth(people, time_s))
        return tuple(
            pose if pose.id is None else replace(pose, joints=next(smoothed)) for pose in poses
        )

    def _smooth(self, people: Sequence[Pose], time_s: float) -> NDArray[np.float32]:
        """Smoothed joints (N, K, 3) of N people with ids."""
        joints = np.stack([pose.joints for pose in people]).astype(np.float64)
        finite = np.isfinite(joints[..., :2]).all(-1, keepdims=True)
        given = np.where(finite, joints[..., :2], np.nan)
        scores = np.clip(np.nan_to_num(joints[..., 2]), 0, 1)
        sizes = _sizes(np.stack([pose.box for pose in people]))[:, None]

        nowhere = np.full(given.shape[1:], np.nan)
        newcomer = _Past(time_s, nowhere, np.zeros_like(nowhere))
        ids = [pose.id for pose in people if pose.id is not None]
        before = [self._people.get(i, newcomer) for i in ids]
        step_s = np.array([time_s - past.time_s for past in before])[:, None, None]
        smooth = np.stack([past.smooth for past in before])
        velocity = np.stack([past.velocity for past in before])

        way = given - smooth
        latest = way / np.maximum(step_s, _LEAST_STEP_S)
        velocity = velocity + _gain(_SPEED_CUTOFF_HZ, step_s) * (latest - velocity)
        speed = np.linalg.norm(velocity, axis=-1) / sizes
        cutoff_hz = self._min_cutoff_hz + self._beta * scores**2 * speed

        distance = np.linalg.norm(way, axis=-1)  # NaN if nowhere now or before
        comparable = np.isfinite(distance).sum(-1, keepdims=True)
        jumped = 2 * (distance > _JUMP * sizes).sum(-1, keepdims=True) > comparable
        goes_on = (np.isfinite(distance) & ~jumped)[..., None]
        smooth = np.where(goes_on, smooth + _gain(cutoff_hz[..., None], step_s) * way, given)
        velocity = np.where(goes_on, velocity, 0.0)
        for row, i in enumerate(ids):
            self._people[i] = _Past(time_s, smooth[row], velocity[row])

        joints[..., :2] = np.where(finite, smooth, joints[..., :2])
        return joints.astype(np.float32)


def _gain(cutoff_hz: FloatArray | float, step_s: FloatArray) -> FloatArray:
    """Part of the way that a low-pass goes in a step.

    The paper's ``1 / (1 + 1 / (2 pi f dt))`` approximates it for short steps.
    """
    return np.asarray(-np.expm1(-2 * np.pi * cutoff_hz * step_s))


def _sizes(boxes: NDArray[np.float32]) -> FloatArray:
    """Body sizes (N,) in pixels, at least one, which leaves a body without a size unsmoothed."""
    corners = np.nan_to_num(boxes).astype(np.float64)
    sides = np.clip(corners[:, 2:] - corners[:, :2], 0, None)
    return np.asarray(np.maximum(np.sqrt(sides.prod(1)), 1.0))
