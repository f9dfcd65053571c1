"""The commands as a user types them."""

import csv
import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import platformdirs
import pytest
import torch

from rtpose import doctor
from rtpose.cli import main
from rtpose.commands.terminal import counted
from rtpose.errors import RtposeError
from rtpose.media.sample import write_sample
from rtpose.stream import STAGE_THREADS

from .conftest import Rtpose


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    write_sample(path, seconds=0.5)
    return path


def test_video_is_annotated(clip: Path, tmp_path: Path, rtpose: Rtpose):
    """The main job: same size, rate, number of frames and sound; people found; default name."""
    done = rtpose("video", clip, "--save", "poses.jsonl")
    assert done.code == 0, done.errors
    assert "walk.pose.mp4: 15 frames" in done.errors
    with av.open(str(clip)) as a, av.open(str(tmp_path / "walk.pose.mp4")) as b:
        old, new = a.streams.video[0], b.streams.video[0]
        assert (new.width, new.height) == (old.width, old.height)
        assert new.average_rate == Fraction(30000, 1001)
        assert new.codec_context.name == "h264" and new.codec_context.pix_fmt == "yuv420p"
        assert len(b.streams.audio) == 1
    lines = [json.loads(line) for line in (tmp_path / "poses.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(15))
    assert all(line["people"] for line in lines)
    assert len(lines[-1]["people"][0]["joints"]) == 21


def test_several_videos_are_done_one_by_one_as_if_alone(clip: Path, tmp_path: Path, rtpose: Rtpose):
    """Their joints in one file; ids begin anew, nobody is followed from one into the next."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    write_sample(tmp_path / "short.mp4", seconds=0.3)
    words = [clip, "short.mp4", "--out", folder, "--save", "all.csv"]
    done = rtpose("video", *words)
    assert done.code == 0, done.errors
    assert sorted(p.name for p in folder.iterdir()) == ["short.pose.mp4", "walk.pose.mp4"]
    assert "walk.pose.mp4: 15 frames" in done.errors and "short.pose.mp4: 9 frames" in done.errors
    assert done.errors.count("nano by") == 1  # networks are loaded once
    assert "all.csv: joints of 24 frames" in done.errors
    for name in (str(clip), "short.mp4"):
        done = rtpose("video", name, "--no-video", "--save", "one.csv", "--overwrite")
        assert done.code == 0, done.errors
        alone = list(csv.DictReader((tmp_path / "one.csv").open()))
        together = list(csv.DictReader((tmp_path / "all.csv").open()))
        assert alone and [row for row in together if row["source"] == name] == alone


def test_joints_alone_are_those_of_the_video(clip: Path, tmp_path: Path, rtpose: Rtpose):
    done = rtpose("video", clip, "--save", "with.csv")
    assert done.code == 0, done.errors
    (tmp_path / "walk.pose.mp4").unlink()
    done = rtpose("video", clip, "--no-video", "--save", "without.csv")
    assert done.code == 0, done.errors
    assert "walk.mp4: 15 frames" in done.errors
    assert (tmp_path / "with.csv").read_text() == (tmp_path / "without.csv").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["with.csv", "without.csv"]
    assert {row["frame"] for row in csv.DictReader((tmp_path / "with.csv").open())} == {
        str(n) for n in range(15)
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["video", "gone.mp4"], "gone.mp4: no such file"),
        (["video", "."], "is a folder"),
        (["video", "empty.mp4"], "empty"),
        (["video", "text.mp4"], "text.mp4"),
        (["video", "{clip}", "--out", "no/such/folder/out.mp4"], "no/such/folder"),
        (["video", "{clip}", "--out", "taken.mp4"], "--overwrite"),
        (["video", "{clip}", "gone.mp4"], "gone.mp4: no such file"),
        (["video", "{clip}", "text.mp4"], "text.mp4"),
        (["video", "{clip}", "{clip}"], "2 of the inputs would be written as walk.pose.mp4"),
        (
            ["video", "{clip}", "{clip}", "--no-video", "--save", "p.csv"],
            "p.csv could not tell two",
        ),
        (["video", "http://127.0.0.1:9/", "--out", "out.avi"], ".mp4"),
        (
            ["video", "{clip}", "text.mp4", "--out", "a.mp4"],
            "a.mp4: no such folder to write 2 videos",
        ),
        (["video", "{clip}", "--out", "out.avi"], ".mp4"),
        (["video", "{clip}", "--out", "results/"], "results: no such folder; make it first"),
        (["video", "file://{clip}", "--out", "{clip}", "--overwrite"], "is the input itself"),
        (["video", "{clip}", "--model", "huge"], "unknown model 'huge'"),
        (["video", "{clip}", "--model", "gone.safetensors"], "no such weights file"),
        (["video", "{clip}", "--device", "gpu"], "unknown device 'gpu'"),
        (["video", "{clip}", "--engine", "fast"], "unknown engine 'fast'"),
        (["video", "{clip}", "--detector", "gone.pt"], "gone.pt"),
        (["video", "{clip}", "--detect-size", "300"], "multiple of 32"),
        (["video", "{clip}", "--detect-size", "20000"], "at most 4096"),
        (["video", "{clip}", "--skeleton", "octopus"], "unknown skeleton 'octopus'"),
        (["video", "{clip}", "--save", "poses.xls"], ".jsonl, .csv, .parquet"),
        (["video", "{clip}", "--save", "taken.csv"], "--overwrite"),
        (["video", "{clip}", "--no-video"], "add --save"),
        (["video", "{clip}", "--no-video", "--out", "a.mp4", "--save", "p.csv"], "exclude each"),
        (["video", "{clip}", "--engine", "compiled", "--device", "cpu"], "on NVIDIA GPUs only"),
        (["compile", "--engine", "tensorrt", "--device", "cpu"], "on NVIDIA GPUs only"),
        (["compile", "--model", "huge"], "unknown model 'huge'"),
        (["export", "nano", "--format", "tflite"], "unknown format 'tflite'"),
        (["export", "nano", "--out", "net.pt"], "must end in .onnx"),
        (["export", "nano", "--out", "taken.mp4"], "--overwrite"),
        (["export", "nano", "--format", "openvino", "--out", "."], ". is a folder; name a file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], message: str, clip: Path, tmp_path: Path, rtpose: Rtpose
):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 100)
    (tmp_path / "taken.mp4").write_text("precious")
    (tmp_path / "taken.csv").write_text("precious")
    before = sorted(p.name for p in tmp_path.iterdir())
    done = rtpose(*(w.format(clip=clip) for w in words))
    assert done.code == 2
    assert message in done.errors
    assert done.errors.startswith("error: ") and done.errors.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert (tmp_path / "taken.mp4").read_text() == "precious"


@pytest.mark.parametrize("words", [
    ["video", "{clip}", "--out", "{long}.mp4"],
    ["video", "{clip}", "--detector", "{long}.pt"],
    ["video", "{clip}", "--model", "{long}.safetensors"],
    ["video", "{clip}", "--save", "{long}.jsonl"],
    ["export", "nano", "--out", "{long}.onnx"],
    ["bench", "--data", "{long}"],
])  # fmt: skip
def test_names_too_long_are_one_line_and_exit_code_2(
    words: list[str], clip: Path, tmp_path: Path, rtpose: Rtpose
):
    done = rtpose(*(w.format(clip=clip, long="a" * 260) for w in words))
    assert done.code == 2
    assert "File name too long" in done.errors
    assert done.errors.splitlines()[-1].startswith("error: ") and "Traceback" not in done.errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_networks_load_nothing_is_left(
    number: int,
    clip: Path,
    tmp_path: Path,
    rtpose: Rtpose,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    def ended(*_: object) -> None:
        signal.raise_signal(number)

    # a shell that runs the tests in the background lets them ignore Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    monkeypatch.setattr("rtpose.commands.setup.set_up", ended)
    done = rtpose("video", clip)
    assert done.code == 130 and "Traceback" not in done.errors
    assert not list(tmp_path.iterdir())


def test_stopped_before_the_first_frame_nothing_is_claimed(
    clip: Path, tmp_path: Path, rtpose: Rtpose, monkeypatch: pytest.MonkeyPatch
):
    def none(*_: object, stop: threading.Event, **__: object) -> Iterator[None]:
        stop.set()
        yield from ()

    monkeypatch.setattr("rtpose.stream.every_frame", none)
    done = rtpose("video", clip)
    assert done.code == 130
    assert "stopped before the first frame: nothing is written" in done.errors
    assert "frames up to here" not in done.errors and not list(tmp_path.iterdir())


def test_a_file_beside_the_exported_one_is_not_replaced_unasked(tmp_path: Path, rtpose: Rtpose):
    (tmp_path / "net.bin").write_text("precious")
    done = rtpose("export", "nano", "--format", "openvino", "--out", "net.xml")
    assert done.code == 2
    assert "net.bin exists; choose another name or add --overwrite" in done.errors
    assert (tmp_path / "net.bin").read_text() == "precious"


def test_ctrl_c_finishes_the_file(tmp_path: Path, interrupted: Callable[..., tuple[int, str]]):
    clip = tmp_path / "long.mp4"
    write_sample(clip, seconds=20, size=(320, 240))
    words = ["video", str(clip), "--save", "long.jsonl"]
    code, errors = interrupted(words, "long.jsonl", signal.SIGINT)
    assert code == 130, errors
    assert "Traceback" not in errors
    with av.open(str(tmp_path / "long.pose.mp4")) as result:
        frames = sum(1 for _ in result.decode(video=0))
    assert 0 < frames < 599
    assert f": {counted(frames, 'frame', 'frames')}, " in errors
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_version_and_help(rtpose: Rtpose):
    shown = rtpose("--help")
    assert shown.code == 0 and "video" in shown.out
    assert rtpose("--version").out.startswith("rtpose 0.")
    assert rtpose("--verbose").code == 2  # to do what?
    assert rtpose("video", "x.mp4", "--no-such-option").code == 2


def test_odd_sizes_and_frames_without_anybody(tmp_path: Path, rtpose: Rtpose):
    source = tmp_path / "odd.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 641, 359, "yuv444p"
        for i in range(6):
            image = np.full((359, 641, 3), 40 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    done = rtpose("video", source)
    assert done.code == 0, done.errors
    assert "odd.pose.mp4: 6 frames, 0 people" in done.errors
    with av.open(str(tmp_path / "odd.pose.mp4")) as result:
        pictures = [f.to_ndarray(format="bgr24") for f in result.decode(video=0)]
    assert len(pictures) == 6
    for i, picture in enumerate(pictures):
        assert abs(picture[:359, :641].mean() - 40 * i) < 4


def test_a_file_that_breaks_off_yields_what_is_there(clip: Path, tmp_path: Path, rtpose: Rtpose):
    cut = tmp_path / "cut.mp4"
    data = clip.read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    done = rtpose("video", cut)
    assert done.code == 0, done.errors
    assert "breaks off after frame" in done.errors
    with av.open(str(tmp_path / "cut.pose.mp4")) as result:
        assert 0 < sum(1 for _ in result.decode(video=0)) < 15


def test_bench_measures_speed(clip: Path, tmp_path: Path, rtpose: Rtpose):
    done = rtpose("bench", clip, "--repeats", 2, "--json", "--plot", "a.png")
    assert done.code == 0, done.errors
    record = json.loads(done.out)
    assert record["settings"]["clip"] == "walk.mp4, 640x480"
    assert "nano at 128 px" in record["settings"]["pose"]
    assert record["speed"]["stages"]["detect"]["p50"]["value"] > 0
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_bench_measures_accuracy(drawn_people: Path, rtpose: Rtpose):
    done = rtpose("bench", "--data", drawn_people)
    assert done.code == 0, done.errors
    assert "8 people in the labels' boxes" in done.errors
    assert "8 people in our detector's boxes" in done.errors
    assert "PCK@0.2, 12 joints" in done.errors and "flip test" in done.errors
    assert "8 of 8 people the detector did not find" in done.errors
    done = rtpose("bench", "--data", drawn_people, "--split", "train", "--json")
    assert json.loads(done.out)["accuracy"]["people"] == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.mp4"], "gone.mp4: no such file"),
        (["empty.mp4"], "empty"),
        (["--plot", "a.txt"], "must end in .png"),
        (["--model", "huge"], "unknown model 'huge'"),
        (["--split", "val"], "--split says how to measure accuracy: name the --data"),
        (["--data", "gone"], "gone: no such folder"),
        (["--data", "."], "no labels found"),
        (["{clip}", "--data", "{data}"], "leave one of them out"),
        (["--data", "{data}", "--split", "test"], "has no split 'test'; it has train, val"),
        (["--data", "{data}", "--annotations", "other.json"], "not COCO keypoint format"),
        (["--data", "{data}", "--predictions", "p.json"], "holds 1 joints a person, coco17 has 17"),
        (
            ["--data", "{data}", "--predictions", "p.json", "--model", "base"],
            "without our networks",
        ),
        (["--data", "{data}", "--first-pixel", "1"], "--first-pixel is about --predictions"),
        (["--data", "{data}", "--comparison", "="], "choose hrnet or pytorch-pose"),
        (
            ["--data", ".", "--annotations", "{data}/val.json.gz"],
            "8 of 8 pictures are missing, the first is val-0.png",
        ),
    ],
)
def test_bad_input_of_bench(
    words: list[str], message: str, clip: Path, drawn_people: Path, tmp_path: Path, rtpose: Rtpose
):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "other.json").write_text('{"people": []}')
    (tmp_path / "p.json").write_text("[[[1, 2]]]")
    if words == ["--data", "."]:
        (tmp_path / "other.json").unlink()
        (tmp_path / "p.json").unlink()
    done = rtpose("bench", *(w.format(clip=clip, data=drawn_people) for w in words))
    assert done.code == 2
    # that pictures are missing shows when the networks are there, and said
    (line,) = (s for s in done.errors.splitlines() if not s.startswith("nano by "))
    assert line.startswith("error: ") and message in line


def test_lack_of_memory_is_one_line_and_other_bugs_keep_their_traceback(
    rtpose: Rtpose, clip: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nand more")

    monkeypatch.setattr("rtpose.commands.setup.set_up", fail)
    done = rtpose("video", clip)
    assert done.code == 2
    assert done.errors.startswith("error: out of memory: close other programs")
    assert done.errors.count("\n") == 1

    def bug(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("rtpose.commands.setup.set_up", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        main()


def test_video_leaves_cores_to_the_pose_network(
    rtpose: Rtpose, clip: Path, monkeypatch: pytest.MonkeyPatch
):
    """Detector and pose network work side by side there; slower is all one would see of it."""
    asked: list[int | None] = []

    def load(*_: object, threads: int | None = None, **__: object) -> None:
        asked.append(threads)
        raise RtposeError("seen enough")

    monkeypatch.setattr("rtpose.estimator.load_detector", load)
    assert rtpose("video", clip).code == 2
    assert asked == [STAGE_THREADS]
    assert rtpose("bench", clip).code == 2
    assert asked[1:] == [STAGE_THREADS]


def test_doctor_says_what_a_bug_report_needs(rtpose: Rtpose):
    done = rtpose("doctor")
    assert done.code == 0, done.out
    for topic in ("torch ", "cpu ", "engine openvino ", "nano, ", "libx264", "cameras", "display"):
        assert topic in done.out
    assert done.out.endswith("the main job can run\n")


def test_doctor_fails_where_the_main_job_cannot_run(
    rtpose: Rtpose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "pose-nano.safetensors").write_bytes(b"no weights")
    monkeypatch.setattr(doctor, "weights_folder", lambda: tmp_path)
    done = rtpose("doctor")
    assert done.code == 1
    assert "FAULT" in done.out and "pose-nano.safetensors" in done.out
    assert "the main job cannot run: 1 fault" in done.out


def test_compile_then_cache(rtpose: Rtpose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    assert "0 entries" in rtpose("cache").errors
    done = rtpose("compile", "--engine", "openvino", "--device", "cpu")
    assert done.code == 0, done.errors
    assert "nano by openvino" in done.errors and "is ready after" in done.errors
    listed = rtpose("cache")
    assert listed.code == 0 and re.search(r"openvino .* CPU +[1-9]", listed.errors)
    # a line for each of two networks in at most three precisions, not one for each entry
    assert len(listed.errors.splitlines()) < 10
    assert "removed" in rtpose("cache", "--clear").errors
    assert "0 entries" in rtpose("cache").errors


def test_export_writes_and_compares(rtpose: Rtpose, tmp_path: Path):
    done = rtpose("export", "nano", "--format", "torchscript")
    assert done.code == 0, done.errors
    assert "compared with PyTorch on real crops" in done.errors
    assert (tmp_path / "rtpose-nano.pt").stat().st_size > 1e6
    assert rtpose("export", "nano", "--format", "torchscript").code == 2
