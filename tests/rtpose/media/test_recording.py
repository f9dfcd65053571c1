from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media.recording import Recorder, save_snapshot
from rtpose.pose import Frame, FrameResult


def result(time_s: float, size: tuple[int, int] = (64, 48), level: int = 100) -> FrameResult:
    return FrameResult(Frame(np.full((size[1], size[0], 3), level, np.uint8), 0, time_s), ())


def times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [float(frame.time or 0) for frame in file.decode(video=0)]


def test_frames_keep_the_times_at_which_they_were_captured(tmp_path: Path):
    recorder = Recorder(tmp_path / "out.mp4", 30)
    recorder.write(result(4.9))  # not asked for yet
    recorder.start()
    for time_s in (5.0, 5.031, 5.07, 6.5):
        recorder.write(result(time_s))
    recorder.stop()
    np.testing.assert_allclose(times(tmp_path / "out.mp4"), [0, 0.031, 0.07, 1.5], atol=1e-3)
    recorder.write(result(7))
    recorder.stop()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_each_recording_has_a_file_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    recorder = Recorder(tmp_path / "out.mp4", 30)
    for begin in (0, 10, 20):
        recorder.start()
        for i in range(3 + begin // 10):
            recorder.write(result(begin + i / 30))
        recorder.stop()
    made = [tmp_path / name for name in ("out.mp4", "out-2.mp4", "out-3.mp4")]
    assert [len(times(path)) for path in made] == [3, 4, 5]
    assert [r.message for r in caplog.records] == [f"recorded {path}" for path in made]


def test_without_a_name_it_is_made_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    recorder = Recorder()
    for _ in range(2):
        recorder.start()
        recorder.write(result(1))
        recorder.stop()
    assert len(list(tmp_path.glob("rtpose-2*.mp4"))) == 2


def test_a_picture_of_another_size_is_fitted_in(tmp_path: Path):
    recorder = Recorder(tmp_path / "out.mkv", 30)
    recorder.start()
    recorder.write(result(0, (64, 48)))
    recorder.write(result(0.1, (48, 96), 200))
    recorder.stop()
    with av.open(str(tmp_path / "out.mkv")) as file:
        pictures = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    assert [p.shape for p in pictures] == [(48, 64, 3)] * 2
    assert pictures[1][24, 32].min() > 180 and pictures[1][24, 5].max() < 20


def test_nothing_written_is_no_file(tmp_path: Path):
    recorder = Recorder(tmp_path / "out.mp4")
    recorder.start()
    recorder.stop()
    assert list(tmp_path.iterdir()) == []


def test_names_that_cannot_be_written_to_are_refused_at_once(tmp_path: Path):
    (tmp_path / "out.mp4").write_text("precious")
    with pytest.raises(RtposeError, match="--overwrite"):
        Recorder(tmp_path / "out.mp4")
    with pytest.raises(RtposeError, match=r"must end in \.mp4"):
        Recorder(tmp_path / "out.avi")
    recorder = Recorder(tmp_path / "out.mp4", overwrite=True)
    recorder.start()
    recorder.write(result(0))
    recorder.stop()
    assert len(times(tmp_path / "out.mp4")) == 1


def test_snapshots_are_png_and_never_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    paths = [save_snapshot(image) for _ in range(3)]
    assert len(set(paths)) == 3
    for path in paths:
        np.testing.assert_array_equal(cv2.imread(str(path)), image)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_recording_of_days_goes_on_in_new_files(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    hour = 3600
    recorder = Recorder(tmp_path / f"out{suffix}", 30)
    recorder.start()
    for time_s in (10, 10 + 4 * hour, 11 + 4 * hour, 12 + 30 * hour, 12.5 + 30 * hour):
        recorder.write(result(time_s))
    recorder.stop()
    made = [tmp_path / f"out{n}{suffix}" for n in ("", "-2", "-3")]
    assert [times(path) for path in made] == [[0, 4 * hour], [0], [0, 0.5]]
    assert [r.message for r in caplog.records] == [f"recorded {path}" for path in made]


def test_the_film_that_is_shown_is_not_recorded_over(tmp_path: Path):
    film = tmp_path / "film.mp4"
    film.write_text("precious")
    with pytest.raises(RtposeError, match="the input itself"):
        Recorder(film, overwrite=True, source=film)
    assert film.read_text() == "precious"
