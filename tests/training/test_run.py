from pathlib import Path

from training.run import RunFolder


def test_lines_after_the_checkpoint_are_forgotten(tmp_path: Path):
    """Those that a killed run wrote, for they come again."""
    run = RunFolder(tmp_path)
    for step in (2, 4, 6):
        run.log({"step": step, "loss": 0.25})
    run.log_scores(6, {"val": 50.0})
    run.forget_after(4)
    run.log({"step": 6, "loss": 0.125})
    assert run.metrics.read_text().splitlines() == ["step,loss", "2,0.25", "4,0.25", "6,0.125"]
    assert not run.scores.exists()
    # of a run without checkpoint nothing stays, so that other scores get another header
    run.forget_after(0)
    assert not run.metrics.exists()


def test_the_best_step_is_by_the_first_score_and_the_earliest(tmp_path: Path):
    folder = RunFolder(tmp_path)
    assert folder.best_step() is None
    for step, val in [(0, 3.0), (7, 21.5), (9, 4.0), (12, 21.5)]:
        folder.log_scores(step, {"val": val, "studio": -val})
    assert folder.best_step() == 7
