"""Skeletons painted onto a picture: which side a limb is on, and whose it is, at a glance.

A person's left is orange, the right blue, the midline white; the hues are two that the colour
blind tell apart (Okabe and Ito 2008). Joints carry a colour that belongs to the id, which stands
as a number above the head where there are several people.
Everything has a dark rim, so that it shows on bright and dark pictures alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from rtpose.pose import FloatArray, Image, Pose
from rtpose.skeleton import BODY21, Skeleton

Colour = tuple[int, int, int]
"""Blue, green, red; 0 to 255."""

LEFT: Colour = (0, 140, 255)
RIGHT: Colour = (255, 160, 40)
MIDLINE: Colour = (235, 235, 235)
RIM: Colour = (20, 20, 20)

PEOPLE: tuple[Colour, ...] = (
    (60, 60, 255), (80, 230, 80), (255, 80, 255), (0, 235, 255), (255, 80, 120),
    (230, 230, 60), (180, 130, 255), (90, 255, 190), (140, 200, 240),
)  # fmt: skip
"""Colours of ids: unlike their neighbours and the sides' colours."""

NOBODY: Colour = (200, 200, 200)
"""Colour of people without an id."""

# OpenCV draws at fractions of a pixel when coordinates come as integers times 2**_SHIFT.
_SHIFT = 4
_UNIT = 1 << _SHIFT
# Joints further out than this are left out: far outside any picture, far inside OpenCV's range.
_REACH = 1e5
# Line thickness is this times the root of a person's longer side: 2 px at 200 px, 5 at 1000.
# With the size itself, small people would get hairlines or large ones beams.
_THICKNESS = 0.17
# Height of an id's digits in parts of a person's line thickness, and in pixels at least.
_DIGITS = 6
_LEAST_DIGITS_PX = 10
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# The face is small and what one wants to see: it gets half the thickness.
_FACE = frozenset({"nose", "left_eye", "right_eye", "left_ear", "right_ear"})


def draw_poses(
    image: Image,
    poses: Sequence[Pose],
    skeleton: Skeleton = BODY21,
    *,
    min_score: float = 0.3,
    predicted: Skeleton = BODY21,
) -> None:
    """Draw people onto a picture, in place.

    Parameters
    ----------
    image : (H, W, 3) uint8, BGR
        Changed in place; copy it first to keep it.
    poses : sequence of Pose
        Later ones lie on top.
    skeleton : Skeleton
        What is drawn: its joints and bones, picked from the predicted joints by name.
    min_score : float
        Joints below it, and bones that touch them, are left out; so are joints whose
        coordinates are not finite. What lies outside the picture is cut off.
    predicted : Skeleton
        What the poses' joints are.

    Raises
    ------
    ValueError
        If the image is not a writable (H, W, 3) uint8 array or a pose does not have the joints
        of `predicted`.
    KeyError
        If `skeleton` has a joint that `predicted` lacks.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected a (H, W, 3) uint8 image, got {image.shape} {image.dtype}")
    if not image.flags.writeable:
        raise ValueError("the image is read-only: draw on a copy")
    if not image.size:
        return
    view = list(predicted.view(skeleton))
    # OpenCV cannot draw on mirrored or otherwise strided views.
    canvas = np.ascontiguousarray(image)
    for pose in poses:
        if pose.joints.shape != (len(predicted), 3):
            raise ValueError(
                f"expected {len(predicted)} joints of {predicted.name}, got {pose.joints.shape}"
            )
        joints = pose.joints[view]
        shown = _shown(joints, min_score)
        thickness = _thickness(pose.box, joints[shown])
        _draw_person(canvas, joints, shown, skeleton, thickness, id_colour(pose.id))
        if pose.id is not None and len(poses) > 1 and shown.any():
            _write_id(canvas, pose.id, joints[shown, :2], thickness)
    if canvas is not image:
        image[...] = canvas


def id_colour(identity: int | None) -> Colour:
    """Colour of a person: the same for an id in every frame and run, see :data:`PEOPLE`.

    After nine ids the colours repeat. People without an id are grey.
    """
    return NOBODY if identity is None else PEOPLE[identity % len(PEOPLE)]


def _shown(joints: FloatArray, min_score: float) -> NDArray[np.bool_]:
    """Which joints (K,) are sure enough and at a place that can be drawn."""
    # Comparisons with NaN are false, so not-a-numbers drop out by themselves.
    inside = (np.abs(joints[:, :2]) < _REACH).all(1)
    return np.asarray(inside & (joints[:, 2] >= min_score))


def _thickness(box: FloatArray, shown: FloatArray) -> int:
    """Line thickness for a person of this size, from the box or, failing that, the joints."""
    size = (
        float(np.diff(box.reshape(2, 2).astype(np.float64), axis=0).max())
        if np.isfinite(box).all()
        else 0.0
    )
    if not 0 < size < _REACH:
        size = float(np.ptp(shown[:, :2], axis=0).max()) if len(shown) else 0.0
    return max(round(_THICKNESS * math.sqrt(size)), 1)


def _draw_person(
    canvas: Image,
    joints: FloatArray,
    shown: NDArray[np.bool_],
    skeleton: Skeleton,
    thickness: int,
    colour: Colour,
) -> None:
    """Rims first, then bones, then joints, so that no part's rim cuts another part."""
    points = np.zeros((len(joints), 2), np.int32)
    points[shown] = np.round(joints[shown, :2] * _UNIT)
    fine = (thickness + 1) // 2
    strokes = [
        (list(points[pairs[shown[pairs].all(1)]]), side, fine if face else thickness)
        for pairs, side, face in _strokes(skeleton)
    ]
    dots = [
        (points[k].tolist(), round((0.75 * (fine if face else thickness) + 0.75) * _UNIT))
        for k, face in enumerate(joint in _FACE for joint in skeleton.joints)
        if shown[k]
    ]
    # A rim would drown the thin lines of a small person.
    if thickness > 1:
        # Its edge lies in the dark mostly, so it goes without the cost of anti-aliasing.
        for lines, _, width in strokes:
            cv2.polylines(canvas, lines, False, RIM, width + 2, cv2.LINE_8, _SHIFT)
        for centre, radius in dots:
            cv2.circle(canvas, centre, radius + _UNIT, RIM, -1, cv2.LINE_8, _SHIFT)
    for lines, side, width in strokes:
        cv2.polylines(canvas, lines, False, side, width, cv2.LINE_AA, _SHIFT)
    for centre, radius in dots:
        cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA, _SHIFT)


def _write_id(canvas: Image, identity: int, points: FloatArray, thickness: int) -> None:
    """The number that the saved joints carry, above the person's highest joint."""
    height = max(_DIGITS * thickness, _LEAST_DIGITS_PX)
    weight = max(height // 10, 1)
    scale = cv2.getFontScaleFromHeight(_FONT, height, weight)
    (width, _), _ = cv2.getTextSize(str(identity), _FONT, scale, weight)
    x, y = points[points[:, 1].argmin()]
    # above the head, or at the picture's edge where the head is
    left = int(np.clip(x - width / 2, 0, max(canvas.shape[1] - width, 0)))
    foot = int(np.clip(y - 3 * thickness, height, canvas.shape[0]))
    for colour, rim in ((RIM, 2), (id_colour(identity), 0)):
        cv2.putText(
            canvas, str(identity), (left, foot), _FONT, scale, colour, weight + rim, cv2.LINE_AA
        )


@lru_cache(maxsize=32)
def _strokes(skeleton: Skeleton) -> tuple[tuple[NDArray[np.int64], Colour, bool], ...]:
    """Bones (B, 2) that are drawn alike, with their colour and whether they are of the face.

    A bone has the colour of the side it has a joint on, the midline's if on both or none.
    """
    strokes: dict[tuple[Colour, bool], list[tuple[int, int]]] = {}
    for names, bone in zip(skeleton.bones, skeleton.bone_indices, strict=True):
        sides = {name.partition("_")[0] for name in names} & {"left", "right"}
        colour = {"left": LEFT, "right": RIGHT}[sides.pop()] if len(sides) == 1 else MIDLINE
        strokes.setdefault((colour, _FACE.issuperset(names)), []).append(bone)
    return tuple((np.array(bones), *style) for style, bones in strokes.items())
