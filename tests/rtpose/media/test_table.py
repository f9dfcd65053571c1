"""A row a person and frame: the same numbers in CSV, Parquet and JSON lines."""

from __future__ import annotations

import csv
import gc
import resource
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import read_table

from rtpose.errors import RtposeError
from rtpose.media.jsonl import frame_record
from rtpose.media.table import CsvWriter, ParquetWriter, columns, rows
from rtpose.skeleton import BODY21, MPII16, SKELETONS

from .saved import result


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_a_column_for_each_number_and_no_name_twice(skeleton):
    names = columns(skeleton)
    assert len(names) == len(set(names)) == 10 + 3 * len(skeleton)


@given(
    people=st.integers(0, 4),
    index=st.integers(0, 10**6),
    unix_s=st.none() | st.floats(1.7e9, 1.9e9),
)
def test_rows_say_what_json_lines_say(people, index, unix_s):
    shown = result(index, people, len(BODY21), unix_s)
    record = frame_record(shown, BODY21)
    table = [dict(zip(columns(BODY21), row, strict=True)) for row in rows(shown, BODY21)]
    assert len(table) == len(record["people"]) == people
    for row, person in zip(table, record["people"], strict=True):
        assert row["source"] == record["source"] == "in.mp4"
        assert (row["frame"], row["time_s"]) == (record["frame"], record["time_s"])
        assert row["unix_s"] == record["unix_s"]
        assert unix_s is None or abs(row["unix_s"] - unix_s) < 1e-6
        assert (row["id"], row["score"]) == (person["id"], person["score"])
        assert [row[k] for k in ("x0", "y0", "x1", "y1")] == person["box"]
        for name, joint in person["joints"].items():
            assert [row[f"{name}_{part}"] for part in ("x", "y", "score")] == joint


def test_csv_rows_are_complete_as_they_come(tmp_path):
    path = tmp_path / "poses.csv"
    with closing(CsvWriter(path, MPII16)) as writer:
        assert path.read_text().splitlines() == [",".join(columns(MPII16))]
        for i, people in enumerate([2, 0, 1]):
            writer.write(result(i, people))
            found = list(csv.DictReader(path.open()))
            assert [row["frame"] for row in found] == ["0", "0", "2"][: len(found)]
    assert [row["id"] for row in found] == ["5", "", "5"]
    assert {row["unix_s"] for row in found} == {""}
    assert found[0]["right_knee_score"] == "0.7143" and found[2]["time_s"] == "0.066667"
    assert b"\r" not in path.read_bytes()


def test_parquet_has_types_and_rows_beyond_what_is_held_back(tmp_path, monkeypatch):
    monkeypatch.setattr("rtpose.media.table._ROWS_AT_ONCE", 3)
    path = tmp_path / "poses.parquet"
    with closing(ParquetWriter(path, MPII16)) as writer:
        for i, people in enumerate([2, 0, 1, 2]):
            writer.write(result(i, people, unix_s=1.8e9 + i / 30 if i else None))
            assert not path.exists(), "its name comes when it can be read"
    table = read_table(path)
    assert table.column_names == columns(MPII16)
    assert {str(f.type) for f in table.schema} == {"string", "int64", "double", "float"}
    assert table["frame"].to_pylist() == [0, 0, 2, 3, 3]
    assert table["id"].to_pylist() == [5, None, 5, 5, None]
    assert table["unix_s"].to_pylist()[:2] == [None, None]
    assert np.allclose(table["unix_s"].to_pylist()[2:], 1.8e9 + np.array([2, 3, 3]) / 30, atol=1e-6)
    want = np.array([row for i in (0, 2, 3) for row in rows(result(i, 2), MPII16)][:5])
    got = np.array([column.to_pylist() for column in table.columns]).T
    assert (got[:, 0] == want[:, 0]).all()
    assert np.allclose(got[:2, 1:].astype(float), want[:2, 1:].astype(float), equal_nan=True)
    assert [p.name for p in tmp_path.iterdir()] == ["poses.parquet"]


def test_a_table_of_nobody_is_a_table(tmp_path):
    for writer, name in ((CsvWriter, "a.csv"), (ParquetWriter, "a.parquet")):
        with closing(writer(tmp_path / name, MPII16)) as empty:
            empty.write(result(0, 0))
    assert (tmp_path / "a.csv").read_text().count("\n") == 1
    assert read_table(tmp_path / "a.parquet").num_rows == 0


@pytest.mark.parametrize("writer", [CsvWriter, ParquetWriter])
def test_what_is_no_pose_is_refused(writer, tmp_path):
    with closing(writer(tmp_path / "poses", MPII16)) as table:
        with pytest.raises(ValueError, match="skeleton has 16"):
            table.write(result(0, 1, joints=21))
        bad = result(0, 1)
        bad.poses[0].joints[0, 0] = np.nan
        with pytest.raises(ValueError, match="not a number"):
            table.write(bad)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write")
@pytest.mark.parametrize("writer", [CsvWriter, ParquetWriter])
def test_an_unwritable_folder_is_refused(writer):
    with pytest.raises(RtposeError, match="cannot be written"):
        writer(Path("/proc/self/out"), MPII16)


@pytest.mark.parametrize("limit", [0, 2_000, 20_000])
def test_a_full_disk_is_one_error_and_leaves_no_half_table(limit, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("rtpose.media.table._ROWS_AT_ONCE", 10)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(RtposeError, match=r"cannot be written further \(File too large\)"):
            write_many(tmp_path / "poses.parquet")
        gc.collect()  # what is left of it may not complain when it goes
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == ""


def test_an_impatient_ctrl_c_leaves_no_half_table(tmp_path, monkeypatch, capfd):
    writer = ParquetWriter(tmp_path / "poses.parquet", MPII16)
    writer.write(result(0, 1))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    writer.close()
    del writer
    gc.collect()
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == ""


def test_a_table_that_came_to_be_meanwhile_is_not_replaced(tmp_path, caplog):
    path = tmp_path / "poses.parquet"
    writer = ParquetWriter(path, MPII16)
    writer.write(result(0, 2))
    path.write_text("precious")
    writer.close()
    assert path.read_text() == "precious"
    assert f"{path} came to be meanwhile; the joints are in" in caplog.text
    assert read_table(tmp_path / "poses-2.parquet").num_rows == 2
    assert len(list(tmp_path.iterdir())) == 2


def write_many(path: Path) -> None:
    with closing(ParquetWriter(path, BODY21)) as writer:
        for i in range(100):
            writer.write(result(i, 2, len(BODY21)))
