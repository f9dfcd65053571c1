import os
from pathlib import Path

import pytest

from rtpose.errors import RtposeError
from rtpose.targets import check_apart, check_target, partial_path, settle, unused, write_whole


def test_unused(tmp_path: Path):
    path = tmp_path / "a.png"
    assert unused(path) == path
    path.touch()
    (tmp_path / "a-2.png").touch()
    assert unused(path) == tmp_path / "a-3.png"


def test_what_a_killed_run_left_is_not_written_over(tmp_path: Path):
    first = partial_path(tmp_path / "out.mp4")
    assert first.name.startswith(".out.partial-") and first.suffix == ".mp4"
    first.touch()  # of a run that had the same process number, as in a container
    assert partial_path(tmp_path / "out.mp4") not in (first, tmp_path / "out.mp4")


def test_a_name_that_is_no_utf8_can_be_written(tmp_path: Path):
    partial = partial_path(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    partial.touch()
    assert partial.name.startswith(".caf.partial-")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "folder", b"x")  # its name is taken by what no file replaces
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.bin", "folder"]


@pytest.mark.parametrize(("overwrite", "name"), [(False, "out-2.txt"), (True, "out.txt")])
def test_two_runs_to_one_name(overwrite: bool, name: str, tmp_path: Path):
    partial, path = tmp_path / ".partial", tmp_path / "out.txt"
    partial.write_text("ours")
    path.write_text("somebody else's, begun after we looked")
    assert settle(partial, path, overwrite) == tmp_path / name
    assert (tmp_path / name).read_text() == "ours"
    assert path.read_text().startswith("ours" if overwrite else "somebody")
    assert not partial.exists()


def test_a_name_that_is_free(tmp_path: Path):
    partial = tmp_path / ".partial"
    partial.touch()
    assert settle(partial, tmp_path / "out.txt", overwrite=False) == tmp_path / "out.txt"


def test_several_are_not_written_over_each_other_or_an_input(tmp_path: Path):
    first, other, link = (tmp_path / name for name in ("a.mp4", "b.mp4", "c.mp4"))
    first.touch()
    link.hardlink_to(first)
    check_apart([tmp_path / "a.pose.mp4", other], [first, tmp_path / "gone.mp4"])
    for path in (first, link):
        with pytest.raises(RtposeError, match=f"{path.name} is an input itself"):
            check_apart([other, path], [first])
    with pytest.raises(RtposeError, match=r"2 of the inputs would be written as .*B\.mp4"):
        check_apart([tmp_path / "B.mp4", other], [first])


def test_a_folder_that_takes_no_files_is_said_before_anything_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    check_target(tmp_path / "a.csv", overwrite=False)
    assert not list(tmp_path.iterdir())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # root, who runs tests, is refused nowhere

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(RtposeError, match=r"a\.csv cannot be written \(Permission denied\)"):
        check_target(tmp_path / "a.csv", overwrite=False)
