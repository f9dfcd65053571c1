"""`rtpose image`: pictures in, pictures and joints out, nothing written over."""

import csv
import json
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pyarrow.parquet import read_table

from rtpose.commands.image import find_pictures, name_targets
from rtpose.errors import RtposeError
from rtpose.photographs import PEOPLE, read_photograph
from rtpose.pictures import write_picture

from ..conftest import Rtpose


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two photographs, one of nobody, and one file that is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in PEOPLE:
        cv2.imwrite(str(folder / name), read_photograph(name))
    cv2.imwrite(str(folder / "nobody.PNG"), np.full((90, 120, 3), 90, np.uint8))
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_of_pictures_is_annotated(folder: Path, tmp_path: Path, rtpose: Rtpose):
    done = rtpose("image", folder, "--save", "poses.jsonl")
    assert done.code == 0, done.errors
    assert "3 pictures, " in done.errors
    lines = [json.loads(line) for line in (tmp_path / "poses.jsonl").read_text().splitlines()]
    assert [Path(line["source"]).name for line in lines] == ["bus.jpg", "nobody.PNG", "zidane.jpg"]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert len(lines[0]["people"]) >= 3 and not lines[1]["people"] and len(lines[2]["people"]) == 2
    numbers = [[person["id"] for person in line["people"]] for line in lines]
    assert numbers == [list(range(1, len(line["people"]) + 1)) for line in lines]
    drawn = cv2.imread(str(tmp_path / "bus.pose.jpg"))
    plain = read_photograph("bus.jpg")
    assert drawn.shape == plain.shape
    apart = np.abs(drawn.astype(int) - plain).max(-1) > 60
    x0, y0, x1, y1 = PEOPLE["bus.jpg"][0]
    assert apart[y0:y1, x0:x1].mean() > 0.02 and apart[:300].mean() < 0.001
    blank = cv2.imread(str(tmp_path / "nobody.pose.PNG"))
    assert (blank == 90).all()
    # again: what was drawn is not drawn upon
    done = rtpose("image", folder, "--out", folder)
    assert done.code == 0, done.errors
    done = rtpose("image", folder, "--out", folder, "--overwrite")
    assert "3 pictures, " in done.errors
    assert not list(folder.glob("*.pose.pose.*"))


def test_a_picture_lying_on_its_side_is_turned(folder: Path, tmp_path: Path, rtpose: Rtpose):
    upright = Image.fromarray(read_photograph("bus.jpg")[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise to see it
    upright.rotate(90, expand=True).save(folder / "phone.jpg", exif=exif, quality=95)
    done = rtpose("image", folder / "phone.jpg", folder / "bus.jpg", "--save", "poses.csv")
    assert done.code == 0, done.errors
    assert cv2.imread(str(tmp_path / "phone.pose.jpg")).shape[:2] == upright.size[::-1]
    rows = list(csv.DictReader((tmp_path / "poses.csv").open()))
    noses = [
        sorted(float(row["nose_x"]) for row in rows if row["frame"] == str(n)) for n in range(2)
    ]
    assert len(noses[0]) >= 3
    np.testing.assert_allclose(noses[0][:3], noses[1][:3], atol=15)


def test_the_joints_alone(folder: Path, tmp_path: Path, rtpose: Rtpose):
    done = rtpose("image", folder / "zidane.jpg", "--no-images", "--save", "poses.csv")
    assert done.code == 0, done.errors
    assert "poses.csv: 1 picture, 2 people" in done.errors
    assert len(list(csv.DictReader((tmp_path / "poses.csv").open()))) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "poses.csv"]


def test_a_broken_picture_costs_nothing_but_itself(folder: Path, tmp_path: Path, rtpose: Rtpose):
    data = (folder / "bus.jpg").read_bytes()
    (folder / "bus.jpg").write_bytes(data[: len(data) // 2])
    done = rtpose("image", folder)
    assert done.code == 2
    assert (
        f"1 of 3 cannot be read as pictures or are cut short: {folder / 'bus.jpg'}" in done.errors
    )
    assert "Traceback" not in done.errors
    assert sorted(p.name for p in tmp_path.glob("*.pose.*")) == [
        "nobody.pose.PNG",
        "zidane.pose.jpg",
    ]


def test_ctrl_c_ends_between_two_pictures(
    folder: Path, tmp_path: Path, rtpose: Rtpose, monkeypatch: pytest.MonkeyPatch
):
    written = write_picture

    def pressed(path: Path, image: np.ndarray) -> None:
        written(path, image)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("rtpose.pictures.write_picture", pressed)
    done = rtpose("image", folder, "--save", "poses.parquet")
    assert done.code == 130 and "Traceback" not in done.errors
    assert "stopped: 2 of 3 pictures are left" in done.errors
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bus.pose.jpg", "photos", "poses.parquet"]
    assert read_table(tmp_path / "poses.parquet").num_rows >= 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.jpg"], "gone.jpg: no such file or folder"),
        (["empty"], "no pictures in it"),
        (["photos", "--out", "no/such"], "no such folder"),
        (["photos", "--no-images"], "add --save"),
        (["photos/bus.jpg", "twice/bus.jpg"], "2 of the inputs would be written as bus.pose.jpg"),
        (["twice/bus.jpg"], "bus.pose.jpg exists"),
        (["photos/bus.jpg", "bus.pose.jpg", "--overwrite"], "is an input itself"),
        (["photos", "--out", "empty", "--save", "poses.txt"], ".jsonl, .csv, .parquet"),
        (["photos", "--out", "empty", "--model", "huge"], "unknown model 'huge'"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    words: list[str], message: str, folder: Path, tmp_path: Path, rtpose: Rtpose
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    (tmp_path / "twice" / "bus.jpg").write_bytes((folder / "bus.jpg").read_bytes())
    (tmp_path / "bus.pose.jpg").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    done = rtpose("image", *words)
    assert done.code == 2
    assert message in done.errors and "Traceback" not in done.errors
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "bus.pose.jpg").read_text() == "precious"


def test_names_of_formats_nobody_knows_become_jpeg(tmp_path: Path):
    assert name_targets([Path("a/b.JPG"), Path("c.heic")], Path("out")) == [
        Path("out/b.pose.JPG"), Path("out/c.pose.jpg"),
    ]  # fmt: skip
    for other in ("c/b.jpg", "c/B.JPG"):
        with pytest.raises(RtposeError, match="2 of the inputs"):
            name_targets([Path("a/b.jpg"), Path(other)], Path("out"))


def test_files_come_as_named_and_folders_sorted(folder: Path):
    (folder / "._bus.jpg").write_bytes(b"what macOS leaves on other file systems")
    (folder / "album.jpg").mkdir()
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    named = folder / "notes.txt"
    assert find_pictures([named, folder]) == [
        named, folder / "bus.jpg", folder / "nobody.PNG", folder / "zidane.jpg",
    ]  # fmt: skip
