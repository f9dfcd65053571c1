"""Video files are read upright, in order, with their own times, and bad ones refused clearly."""

from __future__ import annotations

import os
import re
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image
import pytest
from av.stream import Disposition

from rtpose.errors import RtposeError
from rtpose.media.sources import VideoFile
from rtpose.stream import every_frame

REAL = Path(__file__).parents[4] / "shared" / "data" / "videos"


def level(image):
    return float(image[2:-2, 2:-2].mean())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "with: colon & blank ü.mp4"])
def test_every_frame_in_order_with_its_time(name, clip, counting_images, tools):
    path = clip(name, images=counting_images(12), rate=Fraction(30000, 1001))
    with VideoFile(path) as video:
        assert (video.info.width, video.info.height) == (64, 48)
        assert video.info.rate == Fraction(30000, 1001)
        assert video.info.frames == 12
        assert not video.info.has_audio
        frames = list(video)
    assert [f.index for f in frames] == list(range(12))
    assert frames[0].time_s == 0
    tick = float(video.info.time_base)
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(12) * 1001 / 30000, atol=tick)
    for i, frame in enumerate(frames):
        assert frame.image.dtype == np.uint8 and frame.image.shape == (48, 64, 3)
        assert frame.image.flags.c_contiguous and frame.image.flags.writeable
        assert abs(level(frame.image) - tools.level_of(i)) < 3
    assert video.broken is None


def test_pictures_that_avi_holds_in_another_order_than_they_are_shown(clip, counting_images, tools):
    """FFmpeg takes AVI's count of packets for times of display."""
    path = clip(
        "a.avi", images=counting_images(24), rate=Fraction(25), options={"bf": "2", "b-adapt": "0"}
    )
    with av.open(str(path)) as file:
        counted = [picture.pts for picture in file.decode(video=0)]
        assert counted != sorted(counted)
    with VideoFile(path) as video:
        frames = list(video)
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(24) / 25, atol=1e-6)
    assert all(abs(level(f.image) - tools.level_of(f.index)) < 12 for f in frames)


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_pictures_of_an_avi_begin_with_its_sound(b_frames, clip, counting_images):
    """FFmpeg lets them begin a picture later, as B-frames might."""
    path = clip(
        "a.avi",
        images=counting_images(8),
        rate=Fraction(10),
        options={"bf": b_frames, "b-adapt": "0"},
        audio=["pcm_s16le"],
    )
    with VideoFile(path) as video:
        assert video.info.start_s == 0


def test_a_whole_matroska_that_begins_late_is_whole(clip, counting_images):
    """As recorders write it that keep the time of day."""
    pts = [90_000 + 33 * i for i in range(30)]
    path = clip("a.mkv", images=counting_images(30), time_base=Fraction(1, 1000), pts=pts)
    with VideoFile(path) as video:
        assert len(list(video)) == 30
    assert video.broken is None


def test_a_file_whose_subtitles_last_longer_is_whole(clip, counting_images, tmp_path):
    path = clip(images=counting_images(30))
    (tmp_path / "a.srt").write_text("1\n00:00:00,100 --> 00:00:09,000\nHello\n")
    titled = tmp_path / "titled.mkv"
    with (
        av.open(str(path)) as pictures,
        av.open(str(tmp_path / "a.srt")) as titles,
        av.open(str(titled), "w") as output,
    ):
        for source, stream in ((pictures, pictures.streams.video[0]),
                               (titles, titles.streams.subtitles[0])):  # fmt: skip
            there = output.add_stream_from_template(stream)
            packets = [p for p in source.demux(stream) if p.size]
            if source is pictures:
                held, kept = there, packets
        for target, some in ((held, kept), (there, packets)):
            for packet in some:
                packet.stream = target
                output.mux(packet)
    with VideoFile(titled) as video:
        assert len(list(video)) == 30
    assert video.broken is None


def test_a_file_is_read_once(clip, counting_images):
    with VideoFile(clip(images=counting_images(3))) as video:
        assert len(list(video)) == 3
        with pytest.raises(RuntimeError, match="open it again"):
            iter(video)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("odd.mkv", "ffv1", "yuv420p"),
        ("odd.mp4", "mpeg4", "yuv420p"),
        ("o.mp4", "libx264", "yuv444p"),
    ],
)
def test_odd_sizes_keep_every_column(name, codec, pix_fmt, clip):
    image = np.full((359, 641, 3), 60, np.uint8)
    image[:, 600:] = 200
    options = {} if codec == "libx264" else None
    path = clip(name, images=[image] * 2, codec=codec, pix_fmt=pix_fmt, options=options)
    with VideoFile(path) as video:
        frames = list(video)
    assert (video.info.width, video.info.height) == (641, 359)
    assert frames[1].image.shape == (359, 641, 3)
    np.testing.assert_allclose(frames[1].image[:, 620:].mean((0, 2)), 200, atol=8)
    np.testing.assert_allclose(frames[1].image[:, :580].mean((0, 2)), 60, atol=8)


def test_a_variable_rate_gives_the_files_own_times(clip, counting_images):
    pts = [0, 40, 55, 300, 301, 1000]
    path = clip(images=counting_images(6), rate=Fraction(25), time_base=Fraction(1, 1000), pts=pts)
    with VideoFile(path) as video:
        times = [f.time_s for f in video]
    np.testing.assert_allclose(times, np.array(pts) / 1000, atol=1e-9)


def test_the_clock_of_what_a_browser_records_is_no_rate(clip, counting_images):
    """WebM as MediaRecorder writes it: it says of no picture how long it is shown."""
    pts = np.cumsum([20 + 17 * i % 31 for i in range(40)]).tolist()
    path = clip(
        "a.webm",
        images=counting_images(40),
        time_base=Fraction(1, 1000),
        pts=pts,
        codec="libvpx",
        container_options={"live": "1"},
    )
    data = bytearray(path.read_bytes())
    # RFC 9559: DefaultDuration is 23 E3 83 and its size, here of 4 bytes; EC is Void
    at = data.index(b"\x23\xe3\x83\x84")
    data[at : at + 8] = b"\xec\x86" + bytes(6)
    path.write_bytes(data)
    with av.open(str(path)) as file:
        assert file.streams.video[0].guessed_rate == 1000
    with VideoFile(path) as video:
        assert video.info.rate == 25
        times = [f.time_s for f in video]
    np.testing.assert_allclose(times, (np.array(pts) - pts[0]) / 1000, atol=1e-9)


def test_pictures_that_change_their_shape_on_the_way_are_not_squeezed(clip):
    """As of a recorded call whose phone is turned: a disc stays round."""
    parts = []
    for i, size in enumerate([(64, 48), (48, 64), (128, 96)]):
        disc = np.zeros((size[1], size[0], 3), np.uint8)
        cv2.circle(disc, (size[0] // 2, size[1] // 2), min(size) // 3, (255, 255, 255), -1)
        parts.append(clip(f"{i}.h264", images=[disc] * 4).read_bytes())
    whole = clip("a.h264", images=[disc])
    whole.write_bytes(b"".join(parts))
    with VideoFile(whole) as video:
        frames = list(video)
    assert [f.image.shape for f in frames] == [(48, 64, 3)] * 12
    for frame in frames:
        rows, columns = np.nonzero(frame.image[..., 0] > 128)
        assert abs(int(np.ptp(rows)) - int(np.ptp(columns))) <= 2


@pytest.mark.parametrize(
    "matrix",
    [
        (1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
        (0, 1, -1, 0), (0, -1, 1, 0), (0, 1, 1, 0), (0, -1, -1, 0),
    ],
)  # fmt: skip
def test_all_eight_orientations_come_out_upright(matrix, clip, tools):
    path = clip(images=[tools.quarters((64, 48))] * 2)
    tools.turn_in_container(path, matrix)
    with VideoFile(path) as video:
        image = next(iter(video)).image
        info = video.info
    a, b, c, d = matrix
    turned = a == 0
    assert (info.width, info.height) == ((48, 64) if turned else (64, 48))
    assert image.shape == (info.height, info.width, 3)
    for (row, column), colour in tools.CORNERS.items():
        # Where the matrix sends this quarter's centre, seen from the middle of the picture.
        x, y = 2 * column - 1, 2 * row - 1
        new_column, new_row = (a * x + c * y + 1) // 2, (b * x + d * y + 1) // 2
        at = (info.height * (1 + 2 * new_row) // 4, info.width * (1 + 2 * new_column) // 4)
        np.testing.assert_allclose(image[at], colour, atol=8)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("shown", [0, 1])
def test_of_several_tracks_the_one_that_players_show_is_read(
    name, shown, tmp_path, counting_images
):
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        for number, size in enumerate([(32, 32), (64, 48)]):
            track = output.add_stream("libx264", rate=10)
            track.width, track.height, track.pix_fmt = *size, "yuv420p"
            track.disposition = Disposition.default if number == shown else Disposition(0)
        for track in output.streams.video:
            for image in counting_images(4, (track.width, track.height)):
                output.mux(track.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            output.mux(track.encode(None))
    with VideoFile(path) as video:
        assert (video.info.width, video.info.height) == [(32, 32), (64, 48)][shown]
        assert len(list(video)) == 4


@pytest.mark.parametrize(
    ("orientation", "corner", "size"),
    [(1, (0, 0), (64, 48)), (3, (1, 1), (64, 48)), (6, (1, 0), (48, 64)), (8, (0, 1), (48, 64))],
)
def test_pictures_with_exif_data_come_out_upright(orientation, corner, size, tmp_path, tools):
    exif = PIL.Image.Exif()
    exif[274] = orientation  # EXIF 2.3, 4.6.4: 6 is to be turned clockwise
    path = tmp_path / "in.jpg"
    rgb = np.ascontiguousarray(tools.quarters((64, 48))[..., ::-1])
    PIL.Image.fromarray(rgb).save(path, exif=exif, quality=95)
    with VideoFile(path) as video:
        frames = list(video)
        assert (video.info.width, video.info.height) == size
    assert len(frames) == 1
    # the quarter of the stored picture that is at the top left when it is upright
    np.testing.assert_allclose(frames[0].image[8, 8], tools.CORNERS[corner], atol=8)


@pytest.mark.parametrize(
    ("aspect", "matrix", "size"),
    [
        ("4/3", (1, 0, 0, 1), (85, 48)),  # as HDV's 1440x1080, seen as 1920x1080
        ("8/9", (1, 0, 0, 1), (64, 54)),  # as DV's 720x480
        ("4/3", (0, 1, -1, 0), (48, 85)),  # a camera that was held upright
        ("1000/1", (1, 0, 0, 1), (64, 48)),  # nonsense
        ("640/639", (1, 0, 0, 1), (64, 48)),  # what scaling rounded
    ],
)
def test_pixels_come_square(aspect, matrix, size, clip, tools):
    path = clip(images=[tools.quarters((64, 48))] * 2, options={"x264-params": f"sar={aspect}"})
    tools.turn_in_container(path, matrix)
    with VideoFile(path) as video:
        assert (video.info.width, video.info.height) == size
        image = next(iter(video)).image
    assert image.shape == (size[1], size[0], 3)
    colours = {tuple(image[y, x] // 16) for y in (6, -6) for x in (6, -6)}
    assert len(colours) == 4  # stretched whole: every quarter is where it was, or turned


def test_a_file_cut_off_gives_what_there_is_and_says_so(clip, counting_images, tmp_path):
    for name in ("whole.mp4", "whole.mkv"):
        whole = clip(name, images=counting_images(90, (160, 120)))
        data = whole.read_bytes()
        cut = tmp_path / f"cut{whole.suffix}"
        cut.write_bytes(data[: int(len(data) * 0.6)])
        with VideoFile(whole) as video:
            expected = [f.image for f in video]
        assert video.broken is None
        with VideoFile(cut) as video:
            frames = list(video)
        assert 30 < len(frames) < 70
        assert video.broken is not None
        assert f"after frame {len(frames)} ({frames[-1].time_s:.1f} s)" in video.broken
        for frame, image in zip(frames, expected, strict=False):
            np.testing.assert_array_equal(frame.image, image)


def test_a_file_cut_off_a_packet_before_its_end_says_so(clip, counting_images):
    path = clip(images=counting_images(30))
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    with VideoFile(path) as video:
        assert len(list(video)) == 29
    assert video.broken == "breaks off after frame 29 (0.9 s): the rest of the file is missing"


def test_damage_in_the_middle_costs_only_the_damaged_part(clip, counting_images):
    images = counting_images(30)
    path = clip(images=images, codec="mjpeg", pix_fmt="yuvj420p", faststart=False)
    data = bytearray(path.read_bytes())
    start = [i for i in range(len(data) - 2) if data[i : i + 3] == b"\xff\xd8\xff"]
    data[start[10] : start[11]] = b"\0" * (start[11] - start[10])
    path.write_bytes(data)
    with VideoFile(path) as video:
        frames = list(video)
    assert len(frames) == 29
    assert video.broken is not None and "damaged" in video.broken
    assert frames[-1].time_s == pytest.approx(29 / 30)


def text(tmp_path, clip, images):
    path = tmp_path / "words.mp4"
    path.write_text("not a video at all\n" * 50)
    return path


def empty(tmp_path, clip, images):
    path = tmp_path / "empty.mp4"
    path.touch()
    return path


def sound_only(tmp_path, clip, images):
    return clip("song.mp4", audio=["aac"])


def song_with_a_cover(tmp_path, clip, images):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=48000, layout="mono")
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        output.mux(cover.encode(av.VideoFrame.from_ndarray(images(1)[0], format="bgr24")))
        output.mux(cover.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        silence.sample_rate = 48000
        output.mux(sound.encode(silence))
        output.mux(sound.encode(None))
    return path


def undecodable(tmp_path, clip, images):
    path = clip(images=images(10), faststart=False)
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[begin:end] = b"\0" * (end - begin)
    path.write_bytes(data)
    return path


def without_its_index(tmp_path, clip, images):
    path = clip(images=images(30), faststart=False)
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"moov") - 4])
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda tmp_path, clip, images: tmp_path / "none.mp4", "no such file"),
        (lambda tmp_path, clip, images: tmp_path, "is a folder"),
        (empty, "is empty"),
        (text, "not a video"),
        (sound_only, "only sound"),
        (song_with_a_cover, "only sound"),
        (undecodable, "can be decoded"),
        (without_its_index, "its end is missing"),
    ],
)
def test_bad_files_are_refused_on_opening_in_one_line(make, says, tmp_path, clip, counting_images):
    path = make(tmp_path, clip, counting_images)
    with pytest.raises(RtposeError, match=says) as caught:
        VideoFile(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message


def test_refused_permission_is_said(clip, counting_images, monkeypatch):
    path = clip(images=counting_images(2))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything

        def refuse(self, *args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RtposeError, match="Permission denied"):
        VideoFile(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not on this machine")
def test_a_real_clip_is_read_whole():
    with VideoFile(REAL / "two_people_portrait.mp4") as video:
        assert (video.info.width, video.info.height, video.info.rate) == (1088, 1920, 60)
        assert sum(1 for _ in video) == video.info.frames == 100
    assert video.broken is None


def test_a_stream_as_a_video_has_every_frame_and_the_times_they_came(mjpeg):
    server = mjpeg()
    server.acts = [server.steady(count=20, rate=50)]
    with VideoFile(f"{server.url}?key=secret") as file:
        assert (file.info.width, file.info.height) == (64, 48)
        frames = list(file)
    assert {f.source for f in frames} == {server.url}
    assert [f.index for f in frames] == list(range(20))
    times = [f.time_s for f in frames]
    assert times == sorted(set(times))
    # 17 twentieths of a second after those that opening had read; 25 a second would be more
    assert times[-1] >= 15 / 50


def test_a_stream_that_sends_sound_alone_can_be_stopped(
    sender, clip, counting_images, tools, monkeypatch, threads_gone
):
    monkeypatch.setattr("rtpose.media.sources.DARK_S", 1000.0)
    path = clip("a.ts", images=counting_images(10), audio=["aac"])
    pieces, stop = tools.then_sound_alone(path), threading.Event()
    with VideoFile(sender(pieces, pause_s=0.02)) as file:
        threading.Timer(0.5, stop.set).start()
        frames = list(every_frame(file.frames(stop), lambda f: f, lambda f: f, stop=stop))
        assert len(frames) <= 10
        assert next(pieces, None) is not None  # there would have been more
        assert file.broken is None


def test_pictures_that_stop_while_the_sound_goes_on_end_a_stream(
    sender, clip, counting_images, tools, monkeypatch
):
    monkeypatch.setattr("rtpose.media.sources.DARK_S", 0.5)
    pieces = tools.then_sound_alone(clip("a.ts", images=counting_images(10), audio=["aac"]))
    with VideoFile(sender(pieces, pause_s=0.02)) as file:
        count = sum(1 for _ in file)
        assert 0 < count <= 10  # the last picture is whole when another begins
        says = rf"breaks off after frame {count} \(0\.\d s\): no picture came for 0.5 s, only sound"
        assert re.fullmatch(says, file.broken)
    assert next(pieces, None) is not None


def test_a_file_may_have_as_much_sound_alone_as_it_likes(clip, counting_images, monkeypatch):
    monkeypatch.setattr("rtpose.media.sources.DARK_S", 0.0)
    with VideoFile(clip("a.ts", images=counting_images(10), audio=["aac"])) as file:
        assert sum(1 for _ in file) == 10
        assert file.broken is None


def test_a_stream_without_a_key_frame_is_refused(sender, clip, counting_images, tools, monkeypatch):
    monkeypatch.setattr("rtpose.media.sources.DARK_S", 0.0)
    never = {"x264-params": "keyint=1000:scenecut=0"}
    path = clip("a.ts", images=counting_images(160), options=never)
    with pytest.raises(RtposeError, match="what it sends cannot be decoded"):
        VideoFile(sender([tools.from_its_middle(path)]))


@pytest.mark.parametrize("hours", [0.01, 8])
def test_in_broadcasts_joined_of_two_a_later_second_goes_on_too(
    hours, clip, counting_images, joined
):
    ticks = 3000  # a picture's, of MPEG-TS's clock
    pts = [n * ticks + round(begin * 3600 * 90_000) for begin in (0, hours) for n in range(50)]
    parts = [
        clip(f"{i}.ts", images=counting_images(50), time_base=Fraction(1, 90_000), pts=part)
        for i, part in enumerate((pts[:50], pts[50:]))
    ]
    with VideoFile(joined(parts)) as video:
        times = [f.time_s for f in video]
    assert len(times) == 100
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-4)


def test_in_files_joined_of_two_the_second_goes_on_where_the_first_ended(
    clip, counting_images, joined
):
    parts = [clip(f"{n}.ts", images=counting_images(50), codec="mpeg2video") for n in "ab"]
    with VideoFile(joined(parts)) as video:
        times = [f.time_s for f in video]
    assert len(times) == 100
    steps = np.diff(times)
    assert steps.min() > 0.5 / 30 and steps.max() < 2 / 30
