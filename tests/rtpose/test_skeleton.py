import numpy as np
import pytest

from rtpose.skeleton import BODY21, COCO17, FLIC11, LSP14, MPII16, SKELETONS, Skeleton, mirrored

everyone = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)

# The orders as their publishers give them, written out again on purpose.
OFFICIAL = {
    "coco17": """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow
        right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle
        right_ankle""",
    "mpii16": """right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax
        upper_neck head_top right_wrist right_elbow right_shoulder left_shoulder left_elbow
        left_wrist""",
    "lsp14": """right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist
        right_elbow right_shoulder left_shoulder left_elbow left_wrist upper_neck head_top""",
    "flic11": """left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist left_hip
        right_hip left_eye right_eye nose""",
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_joints_stand_in_their_official_order(name):
    assert SKELETONS[name].joints == tuple(OFFICIAL[name].split())


def test_body21_is_mpii_then_the_face_of_coco():
    assert BODY21.joints == MPII16.joints + COCO17.joints[:5]


def test_lengths():
    assert [len(s) for s in (BODY21, MPII16, COCO17, LSP14, FLIC11)] == [21, 16, 17, 14, 11]


@everyone
def test_joints_are_unique_and_index_finds_them(skeleton):
    assert len(set(skeleton.joints)) == len(skeleton)
    assert [skeleton.joints[skeleton.index[joint]] for joint in skeleton.joints] == list(
        skeleton.joints
    )


@everyone
def test_flipping_twice_changes_nothing_and_once_swaps_sides(skeleton):
    flip = np.array(skeleton.flip)
    np.testing.assert_array_equal(flip[flip], np.arange(len(skeleton)))
    for i, joint in enumerate(skeleton.joints):
        twin = skeleton.joints[flip[i]]
        if joint.startswith("left_"):
            assert twin == joint.replace("left_", "right_")
        elif not joint.startswith("right_"):
            assert twin == joint


def test_flips_known_by_heart():
    # As COCO's and MPII's flip pairs are printed in every training code.
    assert COCO17.flip == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert MPII16.flip == (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)


def test_mirrored_leaves_the_midline_alone():
    assert mirrored("left_knee") == "right_knee"
    assert mirrored("right_ear") == "left_ear"
    assert mirrored("upper_neck") == "upper_neck"
    assert mirrored("nose") == "nose"


@everyone
def test_bones_join_two_different_existing_joints_once(skeleton):
    for a, b in skeleton.bones:
        assert a != b
        assert a in skeleton.index
        assert b in skeleton.index
    assert len({frozenset(bone) for bone in skeleton.bones}) == len(skeleton.bones)
    assert skeleton.bone_indices == tuple(
        (skeleton.index[a], skeleton.index[b]) for a, b in skeleton.bones
    )


@everyone
def test_bones_are_the_same_on_both_sides_and_reach_every_joint(skeleton):
    bones = {frozenset(bone) for bone in skeleton.bones}
    assert bones == {frozenset(map(mirrored, bone)) for bone in bones}
    assert set().union(*bones) == set(skeleton.joints)


@everyone
def test_body21_can_be_viewed_as_any_other(skeleton):
    view = BODY21.view(skeleton)
    assert tuple(BODY21.joints[i] for i in view) == skeleton.joints


def test_viewing_commutes_with_flipping():
    pixels = np.arange(21)
    for other in (COCO17, MPII16, LSP14, FLIC11):
        view = np.array(BODY21.view(other))
        flipped_then_viewed = pixels[list(BODY21.flip)][view]
        viewed_then_flipped = pixels[view][list(other.flip)]
        np.testing.assert_array_equal(flipped_then_viewed, viewed_then_flipped)


def test_a_view_of_a_missing_joint_names_it():
    with pytest.raises(KeyError, match="nose"):
        MPII16.view(COCO17)


def test_skeletons_are_found_by_their_name():
    assert all(isinstance(s, Skeleton) and s.name == name for name, s in SKELETONS.items())
