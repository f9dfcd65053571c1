"""A line a frame, complete as it comes."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest

from rtpose.media.jsonl import JsonlWriter
from rtpose.skeleton import MPII16

from .saved import result


def test_a_json_line_a_frame_as_it_comes(tmp_path):
    path = tmp_path / "poses.jsonl"
    with closing(JsonlWriter(path, MPII16)) as writer:
        for i, people in enumerate([2, 0, 1]):
            writer.write(result(i, people))
            lines = path.read_text().splitlines()
            assert len(lines) == i + 1
            assert len(json.loads(lines[-1])["people"]) == people
    first = json.loads(path.read_text().splitlines()[0])
    assert list(first) == ["source", "frame", "time_s", "unix_s", "width", "height", "people"]
    assert (first["frame"], first["width"], first["height"]) == (0, 64, 48)
    assert first["unix_s"] is None
    person = first["people"][0]
    assert person["id"] == 5 and first["people"][1]["id"] is None
    assert person["score"] == 0.9877 and person["box"] == [1.23, 2.0, 30.5, 40.0]
    assert tuple(person["joints"]) == MPII16.joints
    assert person["joints"]["right_knee"] == [0.43, 0.57, 0.7143]


def test_json_lines_refuse_what_is_no_pose(tmp_path):
    with closing(JsonlWriter(tmp_path / "poses.jsonl", MPII16)) as writer:
        with pytest.raises(ValueError):
            writer.write(result(0, 1, joints=21))
        bad = result(0, 1)
        bad.poses[0].joints[0, 0] = np.nan
        with pytest.raises(ValueError):
            writer.write(bad)
    assert (tmp_path / "poses.jsonl").read_text() == ""
