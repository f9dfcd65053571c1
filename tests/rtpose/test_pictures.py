"""Pictures as files, whole or not."""

import resource
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pillow_heif
import pytest
from PIL import ImageCms

from rtpose.errors import RtposeError
from rtpose.pictures import read_picture, write_picture


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_pictures_missing_broken_or_cut_short(tmp_path: Path, ending: str):
    path = tmp_path / f"a.{ending}"
    assert read_picture(path) is None
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    cv2.imwrite(str(path), noise)
    image = read_picture(path)
    assert image is not None and image.shape == (60, 80, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, cv2.imread(str(path)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert read_picture(path) is None
    path.write_bytes(b"no picture at all")
    assert read_picture(path) is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_turned_pictures_are_read_upright(suffix: str, tmp_path: Path):
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:, :32] = 255  # the left half is white
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn it clockwise to see it
    turned = PIL.Image.fromarray(np.rot90(upright).copy())
    turned.save(tmp_path / f"phone{suffix}", exif=exif.tobytes())
    found = read_picture(tmp_path / f"phone{suffix}")
    assert found is not None and found.shape == (32, 64, 3)
    assert found[:, :24].mean() > 240 and found[:, 40:].mean() < 15


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_an_iphones_photographs_are_read_upright(mode: str, tmp_path: Path):
    path = tmp_path / "a.heic"
    picture = PIL.Image.new("RGB", (64, 32), (20, 90, 200))
    picture.paste((230, 230, 230), (0, 0, 32, 32))
    picture = picture.convert(mode)
    turned = picture.getexif()
    turned[0x0112] = 6  # EXIF's orientation: a quarter turn to the right shows it upright
    pillow_heif.register_heif_opener()  # teaches Pillow to write them; reading does not need it
    picture.save(path, quality=95, exif=turned.tobytes())
    image = read_picture(path)
    assert image is not None and image.shape == (64, 32, 3) and image.dtype == np.uint8
    grey = 82  # of the other half: 0.299 R + 0.587 G + 0.114 B
    np.testing.assert_allclose(image[16, 16].astype(int), 230, atol=8)
    other = (grey,) * 3 if mode == "L" else (200, 90, 20)
    np.testing.assert_allclose(image[48, 16].astype(int), other, atol=8)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert read_picture(path) is None
    for place in range(0, len(whole), 7):  # its reader raises half a dozen types for these
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        read_picture(path)


def display_p3() -> bytes:
    """A colour profile as phones embed it: sRGB's with the primaries of Display P3 (under D50)."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = bytearray(profile.replace("sRGB".encode("utf-16-be"), "P3-D".encode("utf-16-be")))
    primaries = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for name, xyz in primaries.items():
        at = data.index(name)  # in the table of tags: name, offset, size
        (offset,) = struct.unpack_from(">I", data, at + 4)
        struct.pack_into(">3i", data, offset + 8, *(round(v * 65536) for v in xyz))
    return bytes(data)


@pytest.mark.parametrize("ending", ["jpg", "png", "heic"])
def test_a_phones_wide_colours_become_srgb(ending: str, tmp_path: Path):
    path = tmp_path / f"a.{ending}"
    pillow_heif.register_heif_opener()
    PIL.Image.new("RGB", (64, 48), (120, 200, 90)).save(path, quality=98, icc_profile=display_p3())
    image = read_picture(path)
    assert image is not None
    # by the primaries: linear light, P3 to XYZ to sRGB, and back
    np.testing.assert_allclose(image[20, 20].astype(int), (71, 203, 89), atol=3)


def test_other_profiles_leave_a_picture_as_it_is(tmp_path: Path):
    path = tmp_path / "a.png"
    picture = PIL.Image.new("RGB", (64, 48), (120, 200, 90))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, display_p3()[:200], b"nonsense"):
        picture.save(path, icc_profile=profile)
        image = read_picture(path)
        assert image is not None and image[20, 20].tolist() == [90, 200, 120]


@pytest.mark.parametrize("size", [(1, 1), (5, 100), (100, 7)])
def test_pictures_of_few_pixels_are_pictures(size: tuple[int, int], tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((*size, 3), 90, np.uint8))
    image = read_picture(tmp_path / "a.jpg")
    assert image is not None and image.shape == (*size, 3)


def test_a_picture_that_claims_to_be_huge_is_none(tmp_path: Path):
    head = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head) - 4) + head + struct.pack(">I", zlib.crc32(head))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    assert read_picture(tmp_path / "a.png") is None


@pytest.mark.parametrize("limit", [4_000, 1_000])
def test_large_pictures_are_no_bombs(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
):
    """Pillow warns of more than its limit and refuses twice as much: a phone's 200 megapixels."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((60, 80, 3), 90, np.uint8))
    assert read_picture(tmp_path / "a.jpg") is not None
    assert not recwarn.list


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".PNG", ".webp", ".bmp", ".tif", ".tiff"])
def test_what_is_written_is_read_again(suffix: str, tmp_path: Path):
    image = np.full((30, 40, 3), (20, 90, 200), np.uint8)
    write_picture(tmp_path / f"a{suffix}", image)
    again = read_picture(tmp_path / f"a{suffix}")
    assert again is not None and np.abs(again.astype(int) - image).max() < 6
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "a.png"
    write_picture(path, np.zeros((10, 10, 3), np.uint8))
    before = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limit[1]))
        with pytest.raises(RtposeError, match=r"cannot be written \(File too large\)"):
            write_picture(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_what_a_format_cannot_hold_is_said(tmp_path: Path):
    with pytest.raises(RtposeError, match=r"20x20000 is too large for \.webp; use \.png"):
        write_picture(tmp_path / "a.webp", np.zeros((20_000, 20, 3), np.uint8))
    assert not list(tmp_path.iterdir())
