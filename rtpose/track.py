"""One person followed: where, how fast and how surely, and in which clothes.

A Kalman filter with constant velocity, one for the whole body, in units of the person's size; and
the mean colour at each joint while nobody stands in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpose.pose import Pose

FloatArray = NDArray[np.float64]

# How much velocities change, in body sizes (the root of the box's area) and seconds: variance per
# second, of someone who stops or turns within a second.
_AGILITY = 1.0
# How far the middle of a body is off from frame to frame, by the errors of its joints.
_NOISE = 0.03
# Seconds of looking that colours are the mean of, and what a first look is worth.
_MEMORY_S, _FIRST_LOOK_S = 2.0, 0.1
# What joints inside somebody else's box weigh, as that one's clothes may be seen there. Nothing is
# learned from them but at first sight, for want of better.
_COVERED = 0.2

SPEED = 1.5
"""How fast a newcomer may move, in body sizes a second: about one body height."""

LIMB = 0.15
"""How far single joints stray from where the body's motion takes them, in body sizes: swinging
limbs, errors."""

SURE = 0.2
"""Joints with a lower score say nothing about where a person is."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
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
class Seen:
    """A pose of this frame.

    `weights` (K,) say how much each of the colours (K, 3) tells: 0 where they are unknown.
    `covered` (K,) are the joints inside somebody else's box.
    """

    joints: FloatArray
    box: FloatArray
    colours: FloatArray
    weights: FloatArray
    covered: NDArray[np.bool_]


def observe(poses: Sequence[Pose], colours: NDArray[np.float32] | None) -> list[Seen]:
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
    told = np.where(covered, _COVERED, 1.0) * (0.0 if colours is None else joints[..., 2])
    dressed = np.zeros_like(joints) if colours is None else colours.astype(np.float64)
    return [Seen(*each) for each in zip(joints, boxes, dressed, told, covered, strict=True)]


def body_size(box: FloatArray) -> float:
    """Size of a body in pixels: the root of its box's area, at least a pixel."""
    return max(float(np.sqrt(np.prod(box[2:] - box[:2]))), 1.0)


def start(seen: Seen, time_s: float) -> Track:
    """The track of somebody seen for the first time."""
    variance = np.diag([_NOISE**2, SPEED**2])
    looked = _FIRST_LOOK_S * seen.weights
    return Track(
        None, seen.joints, seen.box, np.zeros(2), variance, time_s, time_s, seen.colours, looked
    )


def predict(track: Track, time_s: float) -> Track:
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


def correct(track: Track, seen: Seen, time_s: float, step_s: float) -> Track:
    """Kalman update of a predicted track with what was seen, `step_s` after the frame before."""
    joints, box = seen.joints, seen.box
    surprise = _displacement(track, joints, box)
    place_gain, velocity_gain = track.variance[:, 0] / (track.variance[0, 0] + _NOISE**2)
    variance = track.variance - np.outer([place_gain, velocity_gain], track.variance[0])
    # The shape is the new one; the place lies between the prediction and the new one.
    back = (place_gain - 1) * surprise
    dt = time_s - track.last_s
    velocity = track.velocity + velocity_gain * surprise
    look = np.where(seen.covered, 0.0, seen.weights) * step_s
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


def resume(track: Track, known: Track) -> Track:
    """A newcomer's track that is a lost one's: where it is, but with all that is known of it."""
    return replace(
        track, id=known.id, first_s=known.first_s, colours=known.colours, looked=known.looked
    )


def _moved(joints: FloatArray, by: FloatArray) -> FloatArray:
    return np.asarray(joints + np.append(by, 0.0))


def _displacement(track: Track, joints: FloatArray, box: FloatArray) -> FloatArray:
    """Pixels (2,) from the predicted to the seen body.

    Taken over the joints both have, so that a leg that comes into view moves nobody; over the
    boxes' centres only if there are none.
    """
    weights = np.sqrt(track.joints[:, 2] * joints[:, 2])
    if weights.any():
        shifts = joints[:, :2] - track.joints[:, :2]
        return np.asarray(np.average(shifts, axis=0, weights=weights))
    return np.asarray((box - track.box).reshape(2, 2).mean(0))


def spread_of(track: Track) -> float:
    """How far joints may lie from the predicted ones, in body sizes (a standard deviation)."""
    return float(np.sqrt(track.variance[0, 0] + LIMB**2))
