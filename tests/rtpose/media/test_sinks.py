"""Written videos have the source's size, times, colours and sound; nothing half-made remains."""

from __future__ import annotations

import contextlib
import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rtpose.errors import RtposeError
from rtpose.media.sinks import VideoWriter
from rtpose.media.sources import VideoFile
from rtpose.media.video_info import Orientation, VideoInfo, read_orientation


def copy(source: Path, target: Path) -> VideoWriter:
    with VideoFile(source) as video, VideoWriter(target, video.info, source) as writer:
        for frame in video:
            writer.write(frame.image, frame.time_s)
    return writer


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as file:
        streams = [s for s in file.streams if s.type == kind]
        found = [p for p in file.demux(streams) if p.size] if streams else []
        return [(p.pts * p.time_base, bytes(p)) for p in found]


def times(path: Path) -> list[Fraction]:
    return sorted(time for time, _ in packets(path, "video"))


def planes(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as file:
        return [
            [
                np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width]
                for p in picture.planes
            ]
            for picture in file.decode(video=0)
        ]


def announced_s(path: Path) -> float:
    """How long players will say that it is."""
    if path.suffix == ".mkv":
        with av.open(str(path)) as file:
            return file.duration / av.time_base
    data = path.read_bytes()  # FFmpeg adds up what lies between pictures as they are stored
    # ISO/IEC 14496-12, MovieHeaderBox version 0: ticks a second and their number
    ticks_per_s, ticks = struct.unpack_from(">2I", data, data.index(b"mvhd") + 4 + 12)
    return ticks / ticks_per_s


def left_over(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if "partial" in p.name]


@pytest.mark.parametrize("target", ["out.mp4", "out.mov", "out.mkv"])
def test_the_copy_has_the_sources_size_rate_count_and_sound(
    target, clip, counting_images, tmp_path, tools
):
    rate = Fraction(30000, 1001)
    source = clip(images=counting_images(45), rate=rate, audio=["aac"], audio_s=1.5)
    out = tmp_path / target
    writer = copy(source, out)
    assert writer.frames == 45 and writer.audio_skipped == ()
    with av.open(str(out)) as file:
        stream = file.streams.video[0]
        coder = stream.codec_context
        assert (coder.name, coder.pix_fmt, coder.width, coder.height) == ("h264", "yuv420p", 64, 48)
        assert stream.guessed_rate == rate
        if target != "out.mkv":  # whose clock counts milliseconds
            assert stream.average_rate == rate
            assert stream.frames == 45
    # Matroska counts milliseconds and moves all streams so far that the first begins at 0:
    # the sound, by the 1024 samples that AAC needs to start.
    tick, shift = (Fraction(1, 1000), Fraction(1024, 48000)) if target == "out.mkv" else (0, 0)
    assert len(times(out)) == 45
    assert all(abs(t - shift - i / rate) <= tick for i, t in enumerate(times(out)))
    assert [b for _, b in packets(out, "audio")] == [b for _, b in packets(source, "audio")]
    with VideoFile(out) as video:
        for i, frame in enumerate(video):
            assert abs(float(frame.image.mean()) - tools.level_of(i)) < 8  # others are 23 away


def test_the_index_stands_before_the_pictures(clip, counting_images, tmp_path):
    copy(clip(images=counting_images(5), faststart=False), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25)])
def test_a_rational_rate_survives_a_clock_of_milliseconds(rate, clip, counting_images, tmp_path):
    copy(clip("in.mkv", images=counting_images(40), rate=rate), tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == [i / rate for i in range(40)]
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.streams.video[0].average_rate == rate


def test_a_variable_rate_keeps_its_times(clip, counting_images, tmp_path):
    pts = [0, 700, 1400, 9001, 9002, 20000, 90000]
    source = clip(
        images=counting_images(7), time_base=Fraction(1, 15360), pts=pts, rate=Fraction(30)
    )
    copy(source, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == times(source) == [Fraction(t, 15360) for t in pts]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_last_picture_is_shown_as_long_as_in_the_source(
    suffix, clip, counting_images, tmp_path
):
    source = clip(
        "in.gif",
        images=counting_images(4),
        codec="gif",
        pix_fmt="gray",
        rate=Fraction(10),
        container_options={"final_delay": "250"},
    )
    out = tmp_path / f"out{suffix}"
    with VideoFile(source) as video, VideoWriter(out, video.info) as writer:
        for frame in video:
            writer.write(frame.image, frame.time_s)
        writer.close(video.end_s)
    assert announced_s(out) == pytest.approx(0.3 + 2.5, abs=0.002)


def test_times_that_do_not_grow_cost_no_frame(clip, counting_images, tmp_path):
    with (
        VideoFile(clip(images=counting_images(5))) as video,
        VideoWriter(tmp_path / "out.mp4", video.info) as writer,
    ):
        for frame, time_s in zip(video, [0.0, 0.0, 0.2, 0.1, 0.4], strict=True):
            writer.write(frame.image, time_s)
    found = times(tmp_path / "out.mp4")
    assert len(set(found)) == 5
    np.testing.assert_allclose([float(t) for t in found], [0, 0, 0.2, 0.2, 0.4], atol=1e-3)


def test_sound_stays_in_step_where_the_pictures_begin_late(clip, counting_images, tmp_path):
    source = clip(
        images=counting_images(20),
        time_base=Fraction(1, 15360),
        pts=[7680 + 512 * i for i in range(20)],
        audio=["aac"],
    )
    copy(source, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4")[0] == times(source)[0] == Fraction(1, 2)
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")


def test_a_clock_that_does_not_begin_at_nought_keeps_step(clip, counting_images, tmp_path):
    late = {"output_ts_offset": "5"}
    source = clip("in.ts", images=counting_images(20), audio=["mp2"], container_options=late)
    copy(source, tmp_path / "out.mkv")
    offsets = [
        times(path)[0] - packets(path, "audio")[0][0] for path in (source, tmp_path / "out.mkv")
    ]
    assert times(source)[0] >= 5
    assert times(tmp_path / "out.mkv")[0] < Fraction(1, 10)
    assert abs(offsets[0] - offsets[1]) <= Fraction(1, 500)


def test_sound_and_pictures_lie_side_by_side_in_the_file(clip, counting_images, tmp_path):
    # Longer than the 10 s for which FFmpeg's muxer itself waits for the other stream.
    source = clip(images=counting_images(120), rate=Fraction(6), audio=["aac"], audio_s=20.0)
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        order = sorted(
            (p.pos, p.stream.type, float(p.dts * p.time_base)) for p in file.demux() if p.size
        )
    latest = {"audio": 0.0, "video": 0.0}
    for _, kind, time_s in order:
        latest[kind] = time_s
        assert abs(latest["audio"] - latest["video"]) < 1.2


def test_sound_that_the_format_cannot_hold_is_named(clip, counting_images, tmp_path):
    source = clip("in.mkv", images=counting_images(10), audio=["aac", "wavpack"])
    writer = copy(source, tmp_path / "out.mp4")
    assert len(writer.audio_skipped) == 1 and "wavpack" in writer.audio_skipped[0]
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert [s.codec_context.name for s in file.streams.audio] == ["aac"]
    assert copy(source, tmp_path / "out.mkv").audio_skipped == ()
    with av.open(str(tmp_path / "out.mkv")) as file:
        assert [s.codec_context.name for s in file.streams.audio] == ["aac", "wavpack"]


def test_odd_sizes_are_padded_by_the_last_row_and_column(clip, tmp_path):
    image = np.full((359, 641, 3), 60, np.uint8)
    image[:, 600:] = 200
    copy(clip("in.mkv", images=[image] * 3, codec="ffv1"), tmp_path / "out.mp4")
    with VideoFile(tmp_path / "out.mp4") as video:
        last = list(video)[-1].image
    assert last.shape == (360, 642, 3)
    np.testing.assert_allclose(last[:, 620:].mean((0, 2)), 200, atol=4)
    np.testing.assert_allclose(last[359], last[358], atol=6)


@pytest.mark.parametrize("tags", [(1, 1, 1), (6, 6, 6), (2, 2, 2), (5, 5, 6)])
@pytest.mark.parametrize("yuv", [(81, 90, 220), (145, 60, 60), (60, 200, 110), (235, 128, 128)])
def test_colours_and_their_tags_survive(tags, yuv, tmp_path):
    source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "1"})
        coder = stream.codec_context
        coder.width, coder.height, coder.pix_fmt = 64, 48, "yuv420p"
        coder.colorspace, coder.color_primaries, coder.color_trc = tags
        coder.color_range = 1
        for _ in range(3):
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane, value in zip(picture.planes, yuv, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    copy(source, out)
    for plane, value in zip(planes(out)[1], yuv, strict=True):
        assert abs(float(plane.mean()) - value) < 2.5
    with av.open(str(out)) as file:
        coder = file.streams.video[0].codec_context
        assert (coder.colorspace, coder.color_primaries, coder.color_trc) == tags
        assert coder.color_range == 1 or tags == (2, 2, 2)  # x264 names no range alone


def test_full_range_sources_look_the_same_in_limited_range(clip, tmp_path, tools):
    image = tools.quarters((64, 48))
    source = clip(images=[image] * 3, codec="mjpeg", pix_fmt="yuvj420p")
    copy(source, tmp_path / "out.mp4")
    with VideoFile(source) as before, VideoFile(tmp_path / "out.mp4") as after:
        old, new = next(iter(before)).image, next(iter(after)).image
    for y, x in [(10, 10), (10, 54), (38, 10), (38, 54)]:
        np.testing.assert_allclose(new[y, x].astype(int), old[y, x], atol=6)
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.streams.video[0].codec_context.color_range == 1


def test_a_turned_source_is_written_upright_without_a_turn(clip, tmp_path, tools):
    source = clip(images=[tools.quarters((64, 48))] * 2)
    tools.turn_in_container(source, (0, 1, -1, 0))
    copy(source, tmp_path / "out.mp4")
    with VideoFile(source) as before, VideoFile(tmp_path / "out.mp4") as after:
        assert (after.info.width, after.info.height) == (48, 64)
        old, new = next(iter(before)).image, next(iter(after)).image
    np.testing.assert_allclose(new[8, 8].astype(int), old[8, 8], atol=8)
    np.testing.assert_allclose(new[56, 40].astype(int), old[56, 40], atol=8)
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert read_orientation(next(made.decode(video=0))) == Orientation()


def test_what_is_seen_wider_than_stored_is_written_wider(clip, counting_images, tmp_path):
    source = clip(images=counting_images(3), options={"x264-params": "sar=3/2"})
    with VideoFile(source) as video:
        size = video.info.width, video.info.height
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as made:
        stream = made.streams.video[0]
        assert (stream.width, stream.height) == size
        assert stream.sample_aspect_ratio in (None, 1)


def test_the_final_name_appears_only_with_the_whole_file(clip, counting_images, tmp_path):
    source, out = clip(images=counting_images(5)), tmp_path / "out.mp4"
    with VideoFile(source) as video, VideoWriter(out, video.info, source) as writer:
        for frame in video:
            writer.write(frame.image, frame.time_s)
            assert not out.exists()
            assert all(name.startswith(".") for name in left_over(tmp_path))
    assert out.exists() and left_over(tmp_path) == []


def test_an_error_leaves_nothing_and_an_old_file_as_it_was(clip, counting_images, tmp_path):
    source, out = clip(images=counting_images(5)), tmp_path / "out.mp4"
    out.write_bytes(b"old")
    with (
        pytest.raises(ZeroDivisionError),
        VideoFile(source) as video,
        VideoWriter(out, video.info, source, overwrite=True) as writer,
    ):
        for frame in video:
            writer.write(frame.image, frame.time_s)
        _ = 1 / 0
    assert out.read_bytes() == b"old" and left_over(tmp_path) == []


@pytest.mark.parametrize("by_hand", [False, True])
def test_ctrl_c_finishes_the_file_with_what_is_there(by_hand, clip, counting_images, tmp_path):
    source = clip(images=counting_images(60), audio=["aac"], audio_s=2.0)
    out = tmp_path / "out.mp4"
    with (
        contextlib.suppress(KeyboardInterrupt),
        VideoFile(source) as video,
        VideoWriter(out, video.info, source) as writer,
    ):
        for frame in video:
            writer.write(frame.image, frame.time_s)
            if frame.index == 29 and by_hand:
                writer.close(interrupted=True)
                break
            if frame.index == 29:
                raise KeyboardInterrupt
    assert len(times(out)) == 30 and left_over(tmp_path) == []
    sound = packets(out, "audio")
    assert 0.9 < sound[-1][0] < 1.0
    assert sound == packets(source, "audio")[: len(sound)]


def test_without_frames_there_is_no_file(clip, counting_images, tmp_path):
    source = clip(images=counting_images(2))
    with VideoFile(source) as video, VideoWriter(tmp_path / "out.mp4", video.info):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("name", "overwrite", "says"),
    [
        ("out.avi", False, r"\.mp4, \.mov, \.mkv"),
        ("nowhere/out.mp4", False, "no such folder"),
        ("there.mp4", False, "--overwrite"),
        ("in.mp4", True, "is the input itself"),
        ("folder.mp4", True, "is a folder"),
    ],
)
def test_bad_names_are_refused_before_any_work(
    name, overwrite, says, clip, counting_images, tmp_path
):
    source = clip(images=counting_images(2))
    before = source.read_bytes()
    (tmp_path / "there.mp4").write_bytes(b"old")
    (tmp_path / "folder.mp4").mkdir()
    with VideoFile(source) as video, pytest.raises(RtposeError, match=says) as caught:
        VideoWriter(tmp_path / name, video.info, source, overwrite=overwrite)
    assert "\n" not in str(caught.value)
    assert source.read_bytes() == before
    assert (tmp_path / "there.mp4").read_bytes() == b"old"
    assert left_over(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write")
def test_an_unwritable_folder_is_refused(clip, counting_images):
    with (
        VideoFile(clip(images=counting_images(2))) as video,
        pytest.raises(RtposeError, match="cannot be written"),
    ):
        VideoWriter("/proc/self/out.mp4", video.info)


@pytest.mark.skipif(os.name != "posix", reason="limits a file's size the POSIX way")
def test_a_full_disk_ends_in_one_line_and_no_file(clip, tmp_path):
    import resource

    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), dtype=np.uint8)
    source = clip(images=[*noise])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(RtposeError, match="cannot be written further"):
            copy(source, tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_a_frame_of_another_size_is_a_bug(clip, counting_images, tmp_path):
    with (
        VideoFile(clip(images=counting_images(2))) as video,
        pytest.raises(ValueError, match="frame is"),
        VideoWriter(tmp_path / "out.mp4", video.info) as writer,
    ):
        writer.write(np.zeros((40, 64, 3), np.uint8), 0.0)


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_stereo_that_does_not_say_which_two_channels_it_has(
    suffix, clip, counting_images, tmp_path
):
    """PCM in these; .mp4 refuses it only when everything else is written."""
    source = clip(
        f"in{suffix}", images=counting_images(30), codec="mjpeg", pix_fmt="yuvj420p",
        audio=["pcm_s16le"], layout="stereo",
    )  # fmt: skip
    writer = copy(source, tmp_path / "out.mp4")
    assert writer.audio_skipped == ()
    with av.open(str(source)) as old, av.open(str(tmp_path / "out.mp4")) as new:
        assert new.streams.audio[0].layout.name == "stereo"
        sizes = [sum(p.size for p in file.demux(audio=0)) for file in (old, new)]
    assert sizes[0] == sizes[1] > 48000


def test_pcm_of_channels_that_mp4_cannot_name_is_left_out_and_said(clip, counting_images, tmp_path):
    source = clip(
        "in.mkv", images=counting_images(30), audio=["pcm_s16le"], layout="quad",
    )  # fmt: skip
    with av.open(str(source)) as file:
        assert file.streams.audio[0].layout.name == "4 channels"
    writer = copy(source, tmp_path / "out.mp4")
    assert writer.frames == 30 and "mp4 cannot hold pcm_s16le" in writer.audio_skipped[0]


@pytest.mark.parametrize("name", ["a" * 244, "ü" * 120])
def test_a_name_as_long_as_the_file_system_takes(name, clip, counting_images, tmp_path):
    copy(clip(images=counting_images(3)), tmp_path / f"{name}.mp4")
    assert (tmp_path / f"{name}.mp4").stat().st_size


def sound_end_s(path: Path) -> float:
    with av.open(str(path)) as file:
        *_, last = (p for p in file.demux(audio=0) if p.size)
        return float((last.pts + last.duration) * last.time_base)


def test_sound_whose_times_go_back_is_left_out_and_said(clip, counting_images, joined, tmp_path):
    """Else the muxer refuses the packet, and hours of pictures with it.

    What follows would not belong to its pictures, which go on from the one before.
    """
    parts = [
        clip(f"{n}.ts", images=counting_images(n), codec="mpeg2video", audio=["mp2"],
             audio_s=n / 25)
        for n in (40, 60)
    ]  # fmt: skip
    writer = copy(joined(parts), tmp_path / "out.mp4")
    assert writer.frames == 100
    assert len(writer.audio_skipped) == 1 and "times begin anew" in writer.audio_skipped[0]
    assert sound_end_s(tmp_path / "out.mp4") < 2.0


def test_sound_that_jumps_on_in_a_broadcast_is_left_out_and_said(
    clip, counting_images, joined, tmp_path
):
    """Else .mp4 refuses the rest where the jump is of hours, and hours of nothing else are kept."""
    late = [n * 3000 + 8 * 3600 * 90_000 for n in range(60)]
    parts = [
        clip("a.ts", images=counting_images(60), audio=["mp2"], audio_s=2),
        clip("b.ts", images=counting_images(60), time_base=Fraction(1, 90_000), pts=late,
             audio=["mp2"], audio_s=2, audio_from_s=8 * 3600),
    ]  # fmt: skip
    writer = copy(joined(parts), tmp_path / "out.mp4")
    assert writer.frames == 120
    assert len(writer.audio_skipped) == 1 and "do not fit" in writer.audio_skipped[0]
    assert sound_end_s(tmp_path / "out.mp4") < 2.2
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert made.duration / av.time_base < 4.5


def test_sound_that_pauses_in_a_broadcast_goes_on(clip, counting_images, joined, tmp_path):
    """As where the describing voice of a film speaks now and then; the pictures' clock goes on."""
    pieces = (0, 15, True), (15, 400, False), (415, 15, True)  # first picture, pictures, sound
    parts = [
        clip(f"{i}.ts", images=counting_images(count), time_base=Fraction(1, 90_000),
             pts=[(first + n) * 3000 for n in range(count)],
             audio=["mp2"], audio_s=0.5 if sound else 0.0,
             audio_from_s=first / 30)
        for i, (first, count, sound) in enumerate(pieces)
    ]  # fmt: skip
    writer = copy(joined(parts), tmp_path / "out.mp4")
    assert writer.frames == 430 and writer.audio_skipped == ()
    assert sound_end_s(tmp_path / "out.mp4") == pytest.approx(430 / 30, abs=0.1)


def test_a_pause_on_a_clock_of_nanoseconds_can_be_written(tmp_path):
    info = VideoInfo(width=64, height=48, rate=Fraction(30), time_base=Fraction(1, 10**9))
    with VideoWriter(tmp_path / "out.mp4", info) as writer:
        for time_s in (0, 1 / 30, 5, 20 * 60):
            writer.write(np.zeros((48, 64, 3), np.uint8), time_s)
    with VideoFile(tmp_path / "out.mp4") as made:
        found = [frame.time_s for frame in made]
    np.testing.assert_allclose(found, [0, 1 / 30, 5, 20 * 60], atol=1e-4)


@pytest.mark.parametrize("rate", [5, 30])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_crash_safe_file_plays_before_it_is_finished_and_is_ordinary_after(
    suffix, rate, tmp_path
):
    noise = np.random.default_rng(0).integers(0, 255, (5, 240, 320, 3), dtype=np.uint8)
    info = VideoInfo(width=320, height=240, rate=Fraction(30), time_base=Fraction(1, 30))
    copied = tmp_path / f"crashed{suffix}"
    with VideoWriter(tmp_path / f"out{suffix}", info, crash_safe=True) as writer:
        for i in range(180):
            writer.write(noise[i % 5], i / rate)
        (partial,) = (p for p in tmp_path.iterdir() if p.name.startswith(".out"))
        copied.write_bytes(partial.read_bytes())
    in_the_encoder, since_the_key = 60, 2 * rate
    with VideoFile(copied) as crashed:
        assert 180 - in_the_encoder - since_the_key <= sum(1 for _ in crashed) < 180
    with VideoFile(tmp_path / f"out{suffix}") as whole:
        assert sum(1 for _ in whole) == 180 and whole.broken is None


def test_what_does_not_come_twice_is_kept_where_it_breaks_off(tmp_path):
    info = VideoInfo(width=64, height=48, rate=Fraction(30), time_base=Fraction(1, 30))
    path = tmp_path / "out.mp4"
    with (
        pytest.raises(RtposeError, match=r"out of memory\. .*out\.mp4 holds what was written"),
        VideoWriter(path, info, crash_safe=True) as writer,
    ):
        for i in range(10):
            writer.write(np.zeros((48, 64, 3), np.uint8), i / 30)
        raise RtposeError("out of memory.")
    with VideoFile(path) as kept:
        assert sum(1 for _ in kept) == 10


@pytest.mark.skipif(os.name != "posix", reason="limits a file's size the POSIX way")
def test_where_the_disk_is_full_at_the_end_what_is_kept_is_said(tmp_path):
    import resource

    info = VideoInfo(width=320, height=240, rate=Fraction(30), time_base=Fraction(1, 30))
    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), dtype=np.uint8)
    writer = VideoWriter(tmp_path / "out.mp4", info, crash_safe=True)
    for i, image in enumerate(noise):
        writer.write(image, i / 30)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(RtposeError, match=r"further .*out\.mp4 holds what was written before"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert writer.path.exists()


def test_a_name_that_another_run_took_meanwhile_is_left_to_it(tmp_path):
    info = VideoInfo(width=64, height=48, rate=Fraction(30), time_base=Fraction(1, 30))
    path = tmp_path / "out.mp4"
    with VideoWriter(path, info) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0)
        path.write_text("precious")
    assert path.read_text() == "precious"
    assert writer.path == tmp_path / "out-2.mp4" and writer.path.exists()
