import json
import subprocess
from pathlib import Path

import pytest
import typer

from benchmarks import compare
from benchmarks.compare import changes, figures


def ms(value, low, high):
    return {"value": value, "low": low, "high": high, "unit": "ms", "slowing": False}


def fps(value, low, high):
    return ms(value, low, high) | {"unit": "fps"}


def test_only_what_lies_outside_the_spread_has_changed():
    before = {"stages": {"pose": {"p50": ms(10, 9, 11)}, "read": {"p50": ms(2, 1, 3)}}}
    after = {"stages": {"pose": {"p50": ms(12, 11.5, 13)}, "read": {"p50": ms(2.5, 2, 3)}}}
    (change,) = changes(before, after)
    assert str(change) == "WORSE  stages / pose / p50: 10 -> 12 (+20.0%)"


def test_more_fps_and_fewer_ms_are_better():
    assert not changes({"fps": fps(30, 29, 31)}, {"fps": fps(25, 24, 26)})[0].better
    assert changes({"fps": fps(30, 29, 31)}, {"fps": fps(35, 34, 36)})[0].better
    assert changes({"a": ms(30, 29, 31)}, {"a": ms(25, 24, 26)})[0].better
    assert not changes({"host_mb": 900}, {"host_mb": 901})[0].better
    assert not changes({"val": {"pck": 80.1}}, {"val": {"pck": 80.0}})[0].better
    for less in ("dropped", "apart_px", "farthest_px", "raw", "smoothed"):
        assert not changes({less: 0}, {less: 1})[0].better
    assert not changes({"switches": 1}, {"switches": 2})[0].better


def test_rows_are_told_apart_by_their_settings():
    row = {"people": 1, "detect_every": 1, "score": 0.5, "fps": 30}
    rows = [row, row | {"detect_every": 5}, row | {"score": 0.7}]
    slower = [rows[0], rows[1], rows[2] | {"fps": 20}]
    (change,) = changes(rows, slower[::-1])
    assert change.name == "1 1 0.7 / fps" and not change.better
    with pytest.raises(ValueError, match=r"several figures are called 1 1 0.5 / fps"):
        changes([row, row], [row])


@pytest.mark.parametrize("path", sorted(compare.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_figure_has_a_name_of_its_own(path: Path):
    record = json.loads(path.read_text())
    assert list(figures(record)) and changes(record, record) == []


def test_spreads_beside_a_figure():
    step = {"step": "detector", "ms": 10, "ms_p25": 9, "ms_p75": 11}
    clip = {"clip": "a.mp4", "fps": 30, "fps_all": [28, 30, 33]}
    before = {"steps": [step], "videos": [clip]}
    near = {
        "steps": [step | {"ms": 10.9, "ms_p25": 10.2, "ms_p75": 12}],
        "videos": [clip | {"fps": 33.5, "fps_all": [33, 33.5, 34]}],
    }
    assert changes(before, near) == []
    far = {
        "steps": [step | {"ms": 13, "ms_p25": 12, "ms_p75": 14}],
        "videos": [clip | {"fps": 35, "fps_all": [34, 35, 36]}],
    }
    assert [c.name for c in changes(before, far)] == [
        "steps / detector / ms",
        "videos / a.mp4 / fps",
    ]


def test_lists_are_matched_by_name_and_what_is_gone_is_no_change():
    before = [{"name": "a", "pck": 1.0}, {"name": "b", "pck": 2.0}]
    after = [{"name": "b", "pck": 2.0}, {"name": "a", "pck": 3.0}, {"name": "c", "pck": 9.0}]
    assert [c.name for c in changes(before, after)] == ["a / pck"]


def test_dates_machines_and_flags_are_no_figures():
    record = {
        "date": "2026-01-01",
        "machine": {"cores": 2},
        "flag": True,
        "text": "1",
        "gpu_mb": None,
    }
    assert list(figures(record)) == []


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose last commit holds one result."""

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "bench.json").write_text(json.dumps({"fps": fps(30, 29, 31)}))
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "x")
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], against: str = "HEAD") -> tuple[int, str]:
    with pytest.raises(typer.Exit) as ended:
        compare.main(against)
    said = capsys.readouterr()
    return ended.value.exit_code, said.out + said.err


def test_against_the_last_commit(results: Path, capsys: pytest.CaptureFixture[str]):
    assert run(capsys) == (0, "bench.json: 0 of 1 figures have changed\n")
    (results / "bench.json").write_text(json.dumps({"fps": fps(20, 19, 21)}))
    (results / "new.json").write_text("{}")
    code, said = run(capsys)
    assert code == 1 and "WORSE  fps: 30 -> 20 (-33.3%)" in said
    assert "new.json: new since HEAD" in said
    assert run(capsys, "gone") == (2, "error: gone: no such commit here\n")
