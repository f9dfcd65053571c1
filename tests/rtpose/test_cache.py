import errno
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
import torch
from torch import nn

from rtpose import cache
from rtpose.cache import clear, entries, keep, network_hash, read_as, read_entry
from rtpose.network import Architecture, DCHourglass

KEY = {"gpu": "NVIDIA H100", "network": "abc", "shape": "8x3x256x256"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "rtpose"


def write(folder: Path) -> None:
    (folder / "engine.trt").write_bytes(b"engine" * 1000)
    (folder / "parity.json").write_text("{}")


def test_what_is_kept_is_found_by_its_key_only(folder: Path):
    assert read_entry("tensorrt", KEY) is None
    keep("tensorrt", KEY, write)
    found = read_entry("tensorrt", KEY)
    assert found == {"engine.trt": b"engine" * 1000, "parity.json": b"{}"}
    for name in KEY:
        assert read_entry("tensorrt", KEY | {name: "other"}) is None
    assert read_entry("openvino", KEY) is None


@pytest.mark.parametrize("text", ["", "[1]", "3", '{"real": "x"}', '{"real": 1, "x": 2}'])
def test_what_cannot_be_parsed_is_made_again(
    folder: Path, text: str, caplog: pytest.LogCaptureFixture
):
    def parse(files: dict[str, bytes]) -> complex:
        return complex(**json.loads(files["number.json"]))

    assert read_as("tensorrt", KEY, parse) is None
    for name in ("number.json", "another.json"):
        keep("tensorrt", KEY, lambda made, name=name: (made / name).write_text(text))
        assert read_as("tensorrt", KEY, parse) is None
        assert "is damaged" in caplog.text and read_entry("tensorrt", KEY) is None
        caplog.clear()
    keep("tensorrt", KEY, lambda made: (made / "number.json").write_text('{"real": 2}'))
    assert read_as("tensorrt", KEY, parse) == 2


def place(kind: str, key: dict[str, str]) -> Path:
    """The folder of an entry."""
    (found,) = [entry.folder for entry in entries() if entry.kind == kind and entry.key == key]
    return found


def of_size(size: int) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.bin").write_bytes(bytes(size))


def test_what_was_not_used_for_longest_goes_when_there_is_too_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache, "LIMITS", {"openvino": 10_000})
    keys = [KEY | {"shape": str(i)} for i in range(4)]
    for key in keys[:3]:
        keep("openvino", key, of_size(3000))
        keep("tensorrt", key, of_size(30_000))
    assert all(read_entry("openvino", key) for key in keys[:3])
    for age, key in zip((5, 30, 10), keys, strict=False):
        about = place("openvino", key) / "entry.json"
        when = about.stat().st_mtime - age
        os.utime(about, (when, when))
    keep("openvino", keys[3], of_size(3000))
    there = [read_entry("openvino", key) is not None for key in keys]
    assert there == [True, False, True, True]
    # an engine takes minutes to build
    assert sum(entry.kind == "tensorrt" for entry in entries()) == 3


def test_what_is_used_counts_as_new(folder: Path):
    keep("openvino", KEY, write)
    about = place("openvino", KEY) / "entry.json"
    os.utime(about, (1e9, 1e9))
    (made,) = entries()
    read_entry("openvino", KEY)
    assert about.stat().st_mtime > 1.5e9
    assert next(entries()) == made


@pytest.mark.parametrize("fault", ["cut", "changed", "gone", "no record", "record broken"])
def test_a_damaged_entry_is_removed_and_said(
    fault: str, folder: Path, caplog: pytest.LogCaptureFixture
):
    keep("tensorrt", KEY, write)
    found = place("tensorrt", KEY)
    engine, record = found / "engine.trt", found / "entry.json"
    if fault == "cut":
        engine.write_bytes(engine.read_bytes()[:100])
    elif fault == "changed":
        engine.write_bytes(b"enginf" * 1000)
    elif fault == "gone":
        engine.unlink()
    elif fault == "no record":
        record.unlink()
    else:
        record.write_text('{"key": 3')
    assert read_entry("tensorrt", KEY) is None
    assert "is damaged and made again" in caplog.text
    assert not found.exists()
    keep("tensorrt", KEY, write)
    assert read_entry("tensorrt", KEY) is not None


def test_an_entry_of_another_machine_is_removed_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture
):
    """A folder copied under this name, with all its files right."""
    keep("tensorrt", KEY, write)
    found = place("tensorrt", KEY)
    about = json.loads((found / "entry.json").read_text())
    about["key"]["gpu"] = "NVIDIA L4"
    (found / "entry.json").write_text(json.dumps(about))
    assert read_entry("tensorrt", KEY) is None
    assert "not of this machine or network" in caplog.text


def test_an_entry_that_another_program_removes_meanwhile_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    keep("tensorrt", KEY, write)
    found, about = place("tensorrt", KEY), cache._about

    def and_then_it_goes(folder: Path) -> tuple[dict[str, str], dict[str, str]] | None:
        record = about(folder)
        shutil.rmtree(folder)
        return record

    monkeypatch.setattr(cache, "_about", and_then_it_goes)
    assert read_entry("tensorrt", KEY) is None
    assert not caplog.text and not found.exists()


def test_an_entry_that_another_program_finishes_meanwhile_is_not_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """It looked like a damaged one: no record when it was read, and then a folder."""
    about = cache._about

    def then_it_comes(folder: Path) -> tuple[dict[str, str], dict[str, str]] | None:
        record = about(folder)
        monkeypatch.setattr(cache, "_about", about)
        keep("tensorrt", KEY, write)
        return record

    monkeypatch.setattr(cache, "_about", then_it_comes)
    assert read_entry("tensorrt", KEY) is None
    assert not caplog.text
    assert read_entry("tensorrt", KEY) is not None


def test_a_disk_that_is_full_for_openvino_is_said(folder: Path, caplog: pytest.LogCaptureFixture):
    """Which says so by an error of its own."""

    def full(made: Path) -> None:
        raise RuntimeError("basic_ios::clear: iostream error\nmore")

    keep("openvino", KEY, full)
    assert "not kept and made again next time: basic_ios::clear: iostream error" in caplog.text
    assert not list((folder / "openvino").iterdir())


def test_clearing_beside_another_program(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Which puts a file back into an entry, and then removes the entry itself."""
    keep("openvino", KEY, write)
    keep("tensorrt", KEY, write)
    remove, calls = shutil.rmtree, []

    def busy(path: Path, **options: bool) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
        remove(path)
        if len(calls) == 2:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(cache.shutil, "rmtree", busy)
    assert len(clear()) == 2
    assert list(entries()) == []


def test_clearing_what_may_not_be_removed_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    keep("openvino", KEY, write)

    def refuse(path: Path, **options: bool) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(cache.shutil, "rmtree", refuse)
    with pytest.raises(PermissionError):
        clear()


def test_an_entry_that_is_being_removed_is_not_made_anew_by_marking_it_used(folder: Path):
    keep("openvino", KEY, write)
    found = place("openvino", KEY)
    (found / "entry.json").unlink()
    cache._mark_used(found)
    assert not (found / "entry.json").exists()


def test_what_killed_programs_left_half_written_goes_after_a_day(folder: Path):
    old, new = (folder / "tensorrt" / f".partial-{name}" for name in ("old", "new"))
    for path in (old, new):
        path.mkdir(parents=True)
        (path / "engine.trt").write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    keep("tensorrt", KEY, write)
    assert not old.exists() and new.exists()
    clear()
    assert list((folder / "tensorrt").iterdir()) == []


def test_what_goes_while_it_is_listed_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch):
    keys = [KEY | {"shape": str(i)} for i in range(2)]
    for key in keys:
        keep("openvino", key, write)
    gone = place("openvino", keys[1])
    about = cache._about

    def goes(folder: Path) -> tuple[dict[str, str], dict[str, str]] | None:
        if folder == gone:
            shutil.rmtree(folder)
        return about(folder)

    monkeypatch.setattr(cache, "_about", goes)
    assert [entry.key for entry in entries()] == keys[:1]


def test_an_entry_is_whole_or_not_there(folder: Path):
    def fail(made: Path) -> None:
        write(made)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep("tensorrt", KEY, fail)
    assert read_entry("tensorrt", KEY) is None
    assert list((folder / "tensorrt").iterdir()) == []


def test_two_writers_at_once(folder: Path):
    together = threading.Barrier(2)

    def slow(made: Path) -> None:
        write(made)
        together.wait(timeout=60)

    threads = [threading.Thread(target=keep, args=("tensorrt", KEY, slow)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_entry("tensorrt", KEY) is not None
    assert len(list((folder / "tensorrt").iterdir())) == 1


def test_a_disk_that_does_not_let_us_is_said(folder: Path, caplog: pytest.LogCaptureFixture):
    folder.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        keep("tensorrt", KEY, write)
        keep("tensorrt", KEY | {"shape": "1"}, write)
    # TensorRT builds for minutes at each start then; once is enough
    (said,) = caplog.messages
    assert "not kept and made again next time: " in said and str(folder / "tensorrt") in said


def test_list_and_clear(folder: Path):
    assert list(entries()) == []
    keep("tensorrt", KEY, write)
    keep("openvino", {"network": "abc"}, write)
    listed = list(entries())
    assert [entry.kind for entry in listed] == ["openvino", "tensorrt"]
    assert listed[1].key == KEY and listed[1].size > 6000
    assert clear() == listed
    assert list(entries()) == [] and clear() == []


def test_network_hash_changes_with_weights_only():
    torch.manual_seed(0)
    network = DCHourglass(Architecture(stacks=2, channels=4, joints=3, depth=1)).eval()
    before = network_hash(network)
    assert network_hash(network) == before
    last = list(network.parameters())[-1]
    with torch.no_grad():
        last.view(-1)[0] += 1e-3
    assert network_hash(network) != before
    assert network_hash(nn.Conv2d(1, 1, 1)) != network_hash(nn.Conv2d(1, 1, 1))
