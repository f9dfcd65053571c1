import json
from pathlib import Path

import pytest

from benchmarks import record
from benchmarks.record import here_and_now, keep, made_on, quartiles_ms


def test_what_is_kept_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    made = here_and_now() | {"runs": [quartiles_ms([0.001, 0.002, 0.003])]}
    text = f"Made on {made_on(made)}.\n"
    keep("speed", made, text)
    keep("words", None, text)
    assert json.loads((tmp_path / "speed.json").read_text()) == made
    assert made["runs"] == [{"ms": 2.0, "ms_p25": 1.5, "ms_p75": 2.5}]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["speed.json", "speed.md", "words.md"]
    assert (tmp_path / "words.md").read_text() == text
    assert capsys.readouterr().out == 2 * (text + "\n")
    assert made["date"] in text and made["machine"]["processor"] in text
