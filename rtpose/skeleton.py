"""Joint conventions: names, bones and left/right pairs, one table each, and views between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rtpose.errors import RtposeError

_BODY16 = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "pelvis", "thorax", "upper_neck", "head_top",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_FACE5 = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

_LIMBS = (
    ("right_ankle", "right_knee"), ("right_knee", "right_hip"),
    ("left_ankle", "left_knee"), ("left_knee", "left_hip"),
    ("right_wrist", "right_elbow"), ("right_elbow", "right_shoulder"),
    ("left_wrist", "left_elbow"), ("left_elbow", "left_shoulder"),
)  # fmt: skip
_SPINE = (
    ("right_hip", "pelvis"), ("left_hip", "pelvis"), ("pelvis", "thorax"),
    ("right_shoulder", "thorax"), ("left_shoulder", "thorax"),
    ("thorax", "upper_neck"), ("upper_neck", "head_top"),
)  # fmt: skip
_TORSO = (
    ("right_hip", "left_hip"), ("right_shoulder", "left_shoulder"),
    ("right_shoulder", "right_hip"), ("left_shoulder", "left_hip"),
)  # fmt: skip
_FACE = (
    ("nose", "left_eye"), ("nose", "right_eye"),
    ("left_eye", "left_ear"), ("right_eye", "right_ear"),
)  # fmt: skip


@dataclass(frozen=True)
class Skeleton:
    """A joint convention.

    Attributes
    ----------
    name : str
    joints : tuple of str
        Joint names; their order is the order of every (K, ...) array. A name that begins with
        ``left_`` and its ``right_`` twin are a pair, everything else lies on the midline.
    bones : tuple of (str, str)
        Which joints a drawing connects.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.joints)

    @cached_property
    def index(self) -> dict[str, int]:
        """Joint name to position."""
        return {joint: i for i, joint in enumerate(self.joints)}

    @cached_property
    def flip(self) -> tuple[int, ...]:
        """For each joint the position of its mirror twin (its own for midline joints)."""
        return tuple(self.index[mirrored(joint)] for joint in self.joints)

    @cached_property
    def bone_indices(self) -> tuple[tuple[int, int], ...]:
        """Bones as pairs of positions."""
        return tuple((self.index[a], self.index[b]) for a, b in self.bones)

    def view(self, other: Skeleton) -> tuple[int, ...]:
        """Positions in this skeleton of the other's joints, in the other's order.

        Raises
        ------
        KeyError
            If the other has a joint that this one lacks.
        """
        return tuple(self.index[joint] for joint in other.joints)


def mirrored(joint: str) -> str:
    """Name of a joint's mirror twin: ``left_knee`` for ``right_knee``, ``nose`` for ``nose``."""
    side, _, rest = joint.partition("_")
    twin = {"left": "right", "right": "left"}.get(side)
    return f"{twin}_{rest}" if twin else joint


BODY21 = Skeleton("body21", _BODY16 + _FACE5, _LIMBS + _SPINE + (("upper_neck", "nose"), *_FACE))
"""What the shipped networks predict: MPII's 16 joints in MPII's order, then COCO's face."""

MPII16 = Skeleton("mpii16", _BODY16, _LIMBS + _SPINE)
"""MPII Human Pose, in its official order."""

COCO17 = Skeleton(
    "coco17",
    (
        *_FACE5,
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
        "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    _LIMBS + _TORSO + _FACE,
)  # fmt: skip
"""COCO keypoints, in COCO's order."""

LSP14 = Skeleton(
    "lsp14",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
        "left_wrist", "upper_neck", "head_top",
    ),
    (*_LIMBS, *_TORSO, ("upper_neck", "head_top")),
)  # fmt: skip
"""Leeds Sports Poses, in its official order."""

FLIC11 = Skeleton(
    "flic11",
    (
        "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow",
        "right_wrist", "left_hip", "right_hip", "left_eye", "right_eye", "nose",
    ),
    (*_LIMBS[4:], *_TORSO, ("nose", "left_eye"), ("nose", "right_eye")),
)  # fmt: skip
"""FLIC, in the order of its released annotations."""

SKELETONS = {s.name: s for s in (BODY21, MPII16, COCO17, LSP14, FLIC11)}


def find_skeleton(name: str, within: Skeleton) -> Skeleton:
    """The skeleton of that name, all of whose joints `within` has.

    Raises
    ------
    RtposeError
        If there is none of that name, or `within` lacks some of its joints.
    """
    if name not in SKELETONS:
        raise RtposeError(f"unknown skeleton {name!r}: choose {', '.join(SKELETONS)}")
    missing = [joint for joint in SKELETONS[name].joints if joint not in within.index]
    if missing:
        raise RtposeError(
            f"skeleton {name}: this network ({within.name}) does not predict "
            f"{', '.join(missing)}; choose {within.name}"
        )
    return SKELETONS[name]
