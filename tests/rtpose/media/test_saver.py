"""The file's name says what is written, and nothing is written over unasked."""

from __future__ import annotations

import csv
import json

import pytest

from rtpose.errors import RtposeError
from rtpose.media.saver import check_saver, open_saver
from rtpose.skeleton import MPII16

from .saved import result

NAMES = ["poses.jsonl", "poses.csv", "poses.parquet", "POSES.CSV"]


@pytest.mark.parametrize("name", NAMES)
def test_never_over_somebodys_file_unasked(name, tmp_path):
    path = tmp_path / name
    path.write_text("old\n")
    with pytest.raises(RtposeError, match="--overwrite"):
        open_saver(path, MPII16, False)
    assert path.read_text() == "old\n"
    with open_saver(path, MPII16, True) as saver:
        saver.write(result(0, 1))
    assert b"old" not in path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [RtposeError, KeyboardInterrupt])
def test_what_was_written_stays_whatever_happens(name, error, tmp_path):
    with pytest.raises(error), open_saver(tmp_path / name, MPII16, False) as saver:
        saver.write(result(0, 2))
        raise error("the network fails")
    assert people_in(tmp_path / name) == 2


@pytest.mark.parametrize("name", ["poses.json", "clip.mp4", "poses", "nowhere/poses.csv"])
def test_bad_names_are_refused(name, tmp_path):
    with pytest.raises(RtposeError, match=r"must end in|no such folder"):
        check_saver(tmp_path / name, False)
    assert not list(tmp_path.iterdir())


def test_parquet_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("rtpose.media.saver.find_spec", lambda name: None)
    with pytest.raises(RtposeError, match=r"pip install 'rtpose\[parquet\]'"):
        check_saver(tmp_path / "poses.parquet", False)


def people_in(path) -> int:
    if path.suffix == ".jsonl":
        return sum(len(json.loads(line)["people"]) for line in path.read_text().splitlines())
    if path.suffix.lower() == ".csv":
        return len(list(csv.DictReader(path.open())))
    from pyarrow.parquet import read_table

    return read_table(path).num_rows
