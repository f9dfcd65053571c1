"""Lines that stay, and disks that are full."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from rtpose.errors import RtposeError
from rtpose.media.lines import LineFile


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    file = LineFile(tmp_path / "a.txt", False)
    for n in range(3):
        file.write(f"line {n}\n")
        assert len((tmp_path / "a.txt").read_text().splitlines()) == n + 1
    file.close()
    file.close()


def test_a_file_of_another_run_is_not_replaced_unasked(tmp_path):
    (tmp_path / "a.txt").write_text("precious")
    with pytest.raises(RtposeError, match="File exists"):
        LineFile(tmp_path / "a.txt", False)
    assert (tmp_path / "a.txt").read_text() == "precious"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write")
def test_an_unwritable_folder_is_refused():
    with pytest.raises(RtposeError, match="cannot be written"):
        LineFile(Path("/proc/self/out.jsonl"), False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_error_and_closing_says_no_more(tmp_path):
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    file = LineFile(full, True)
    with pytest.raises(RtposeError, match="is the disk full"):
        file.write("a line\n")
    file.close()


def test_a_full_disk_leaves_whole_lines(tmp_path):
    path = tmp_path / "a.csv"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        file = LineFile(path, False)
        with pytest.raises(RtposeError, match="File too large"):
            for n in range(100):
                file.write(f"1.25,2.5,ü{n}\n")
        file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text("utf-8").splitlines() == [f"1.25,2.5,ü{n}" for n in range(7)]
