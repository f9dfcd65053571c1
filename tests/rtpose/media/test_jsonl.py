"""A line a frame, complete as it comes, never over somebody's file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media.jsonl import JsonlWriter
from rtpose.pose import Frame, FrameResult, Pose
from rtpose.skeleton import MPII16


def result(index: int, people: int, joints: int = 16) -> FrameResult:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), index, index / 30)
    poses = [
        Pose(
            box=np.array([1.234, 2, 30.5, 40], np.float32),
            score=0.98765,
            joints=np.arange(joints * 3, dtype=np.float32).reshape(joints, 3) / 7,
            id=None if n else 5,
        )
        for n in range(people)
    ]
    return FrameResult(frame, tuple(poses))


def test_a_json_line_a_frame_as_it_comes(tmp_path):
    path = tmp_path / "poses.jsonl"
    with JsonlWriter(path, MPII16) as writer:
        for i, people in enumerate([2, 0, 1]):
            writer.write(result(i, people))
            lines = path.read_text().splitlines()
            assert len(lines) == writer.frames == i + 1
            assert len(json.loads(lines[-1])["people"]) == people
    first = json.loads(path.read_text().splitlines()[0])
    assert list(first) == ["frame", "time_s", "width", "height", "people"]
    assert (first["frame"], first["width"], first["height"]) == (0, 64, 48)
    person = first["people"][0]
    assert person["id"] == 5 and first["people"][1]["id"] is None
    assert person["score"] == 0.9877 and person["box"] == [1.23, 2.0, 30.5, 40.0]
    assert tuple(person["joints"]) == MPII16.joints
    assert person["joints"]["right_knee"] == [0.43, 0.57, 0.7143]


def test_json_lines_never_overwrite_unasked(tmp_path):
    path = tmp_path / "poses.jsonl"
    path.write_text("old\n")
    with pytest.raises(RtposeError, match="--overwrite"):
        JsonlWriter(path, MPII16)
    assert path.read_text() == "old\n"
    with JsonlWriter(path, MPII16, overwrite=True) as writer:
        writer.write(result(0, 1))
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("name", ["poses.json", "clip.mp4", "nowhere/poses.jsonl"])
def test_json_lines_refuse_bad_names(name, tmp_path):
    with pytest.raises(RtposeError):
        JsonlWriter(tmp_path / name, MPII16)
    assert not (tmp_path / name).exists()


def test_json_lines_refuse_what_is_no_pose(tmp_path):
    with JsonlWriter(tmp_path / "poses.jsonl", MPII16) as writer:
        with pytest.raises(ValueError):
            writer.write(result(0, 1, joints=21))
        bad = result(0, 1)
        bad.poses[0].joints[0, 0] = np.nan
        with pytest.raises(ValueError):
            writer.write(bad)
    assert (tmp_path / "poses.jsonl").read_text() == ""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write")
def test_an_unwritable_folder_is_refused():
    with pytest.raises(RtposeError, match="cannot be written"):
        JsonlWriter("/proc/self/out.jsonl", MPII16)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_error_and_closing_says_no_more(tmp_path, monkeypatch):
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    writer = JsonlWriter(full, MPII16, overwrite=True)
    with pytest.raises(RtposeError, match="is the disk full"), writer:
        writer.write(FrameResult(Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0), ()))
    writer.close()
