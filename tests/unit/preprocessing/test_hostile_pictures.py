"""Pictures made to do harm: each is refused with a sentence that names the limit, or costs no more than a good one."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from services.mesh import errors
from services.mesh.ports import Region, Target
from services.preprocessing.pipelines.image import opened, parts, redact, render

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

WHOLE = [Target(16, 12, "stretch")]
KINDS = {
    "jpeg": ("JPEG", {"quality": 90}),
    "jpeg progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "png": ("PNG", {}),
    "png interlaced palette": ("PNG", {"bits": 8}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "webp": ("WEBP", {"quality": 90}),
    "webp lossless": ("WEBP", {"lossless": True}),
    "tiff": ("TIFF", {}),
    "tiff lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}


def noise(width=90, height=60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(256, size=(height, width, 3), dtype=np.uint8))


def render_it(content: bytes):
    return render.render(content, WHOLE).renderings[0]


def refusal(content: bytes) -> str:
    """The rule that it breaks, the same whichever way it is opened."""
    with pytest.raises(errors.InvalidArgument) as caught:
        render_it(content)
    with pytest.raises(errors.InvalidArgument) as other:
        redact.redact(content, [Region(0, 0, 1, 1)], method="fill")
    (violation,) = caught.value.violations
    assert other.value.violations == caught.value.violations
    assert violation.field == "image.content"
    return violation.description


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size=(1, 1), *, depth=8, colour=2, extra: bytes = b"", data: bytes = bytes(4)) -> bytes:
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    pixels = zlib.compress(data, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(entries: dict[int, tuple[int, int, int]], after: bytes = b"") -> bytes:
    """entries: tag -> type, count, value or offset. The bytes after it begin at `directory_bytes`."""
    rows = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4) + after


def packed_zeros(mebibytes: int) -> bytes:
    """A zlib stream of so many zeros, made in no time: the same block again and again."""
    pack = zlib.compressobj(9)
    begin = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    block = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    return begin + block * (mebibytes - 1) + pack.flush()


GREY = {256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}


def with_segments(jpeg: bytes, segments: bytes) -> bytes:
    return jpeg[:2] + segments + jpeg[2:]


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_anywhere(saved, kind):
    """A file cut at any of many places is refused and named; but for the last bytes, without which all is there."""
    image_format, options = KINDS[kind]
    content = saved(noise(), image_format, **options)
    cuts = sorted({*range(1, 64), *(len(content) * share // 100 for share in range(1, 98))})
    for at in cuts:
        assert refusal(content[:at])


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_in_the_middle(saved, kind):
    """A file of which a part was overwritten is refused or shown, and nothing else."""
    image_format, options = KINDS[kind]
    content = bytearray(saved(noise(), image_format, **options))
    for share in range(5, 95, 5):
        changed = content.copy()
        at = len(content) * share // 100
        changed[at : at + 200] = bytes(200)
        with contextlib.suppress(errors.InvalidArgument):
            assert render_it(bytes(changed[: len(content)])).pixels.shape == (12, 16, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(200),
        b"<!doctype html><html><img src=a.png></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"A picture says more.",
        b"P6 2 2 255\n" + bytes(12),
        b"PK\3\4" + bytes(100),
        bytes(1000),
    ],
    ids=["nothing", "pdf", "mp4", "html", "svg", "eps", "text", "ppm", "zip", "zeros"],
)
def test_what_is_no_picture(content):
    """Other kinds of files are refused, with the formats that are taken, or the number of bytes."""
    assert "is none of BMP, GIF, JPEG, PNG, TIFF, WEBP" in (found := refusal(content)) or "0" in found


@pytest.mark.parametrize("kind", KINDS)
def test_one_pixel(saved, kind):
    """A picture of one pixel is a picture."""
    image_format, options = KINDS[kind]
    content = saved(Image.new("RGB", (1, 1), "white"), image_format, **options)
    assert render_it(content).pixels.min() > 250
    assert redact.redact(content, [Region(0, 0, 1, 1)], method="blur").content


def test_twenty_thousand_pixels_a_side():
    """A real picture of 400 megapixels in 400 kilobytes is refused by its header."""
    content = png((20_000, 20_000), colour=0).replace(zlib.compress(bytes(4), 9), packed_zeros(382))
    assert "50 megapixels and 16384 pixels a side" in refusal(content)


@pytest.mark.parametrize("image_format", ["GIF", "BMP", "TIFF", "WEBP", "JPEG"])
def test_small_files_that_claim_much(saved, image_format):
    """A size beyond the limits in the header of any format is refused before a pixel is decoded."""
    content = bytearray(saved(noise(64, 64), image_format))
    if image_format == "WEBP":
        content = bytearray(saved(noise(64, 64), "WEBP", lossless=True))
        at = content.index(b"VP8L") + 9
        content[at : at + 4] = struct.pack("<I", 16_382 | 16_382 << 14)
    elif image_format == "GIF":
        content[6:10] = struct.pack("<HH", 65_535, 65_535)
    elif image_format == "BMP":
        content[18:26] = struct.pack("<ii", 60_000, 60_000)
    elif image_format == "TIFF":
        content = bytearray(tiff({**GREY, 256: (4, 1, 60_000), 257: (4, 1, 60_000), 273: (4, 1, 8)}))
    else:
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    assert refusal(bytes(content)) in {
        "takes at most 50 megapixels and 16384 pixels a side",
        "is none of BMP, GIF, JPEG, PNG, TIFF, WEBP, or damaged",
    }


def test_inverted_cmyk(saved):
    """A JPEG in print colours as Adobe writes them, inverted, shows the colours that it meant."""
    content = saved(Image.new("RGB", (64, 64), (200, 30, 60)).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content
    assert np.abs(render_it(content).pixels.astype(int) - (200, 30, 60)).max() < 8


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bits(saved, image_format):
    """Of 16 bits the upper eight are shown, in grey and, of a PNG, in colour."""
    wide = Image.fromarray(np.full((64, 64), 0x80FF, np.uint16))
    assert set(np.unique(render_it(saved(wide, image_format)).pixels)) == {0x80}
    rows = b"".join(b"\0" + bytes([0x80, 0xFF, 0x10, 0xFF, 0x20, 0xFF]) * 4 for _ in range(4))
    assert render_it(png((4, 4), depth=16, data=rows)).pixels[0, 0].tolist() == [0x80, 0x10, 0x20]


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "WEBP"])
def test_of_an_animation_the_first_frame(saved, image_format):
    """A thousand frames cost no more than one, and the redacted picture has one."""
    frames = [Image.new("RGB", (32, 32), (0, 0, index % 250)) for index in range(200)]
    options = {"lossless": True} if image_format == "WEBP" else {}
    content = saved(Image.new("RGB", (32, 32), "red"), image_format, save_all=True, append_images=frames, **options)
    assert render_it(content).pixels[5, 5].tolist() == [255, 0, 0]
    found = redact.redact(content, [Region(0, 0, 0.5, 0.5)], method="fill")
    assert getattr(Image.open(io.BytesIO(found.content)), "n_frames", 1) == 1


def test_huge_exif(saved):
    """More than a mebibyte of EXIF is refused, in a JPEG's many segments and in a PNG's one chunk."""
    jpeg = saved(noise(), "JPEG")
    exif = b"".join(segment(0xE1, b"Exif\0\0" + bytes(65_000)) for _ in range(17))
    assert "EXIF data of at most 1048576 bytes" in refusal(with_segments(jpeg, exif))
    assert "EXIF data of at most 1048576 bytes" in refusal(png(extra=chunk(b"eXIf", bytes(1_048_577))))
    assert render_it(with_segments(jpeg, exif[: 65_010 * 3])).pixels.any()


def test_huge_exif_of_webp(saved):
    """As elsewhere broken data about the picture does not make it bad: it is shown as it is stored."""
    content = saved(noise(), "WEBP", exif=b"Exif\0\0" + tiff({0x112: (3, 9_00_000, 26)}, bytes(1_800_000)))
    assert render_it(content).pixels.any()


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_bombs_in_the_metadata(kind):
    """A gigabyte of zeros, packed into a colour profile or a text of a PNG, is not unpacked."""
    assert "damaged" in refusal(png(extra=chunk(kind, b"x\0\0" + packed_zeros(1024))))


def test_a_long_colour_profile(saved):
    """255 segments of profile are read past."""
    profile = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([index, 255]) + bytes(60_000)) for index in range(1, 256))
    assert render_it(with_segments(saved(noise(), "JPEG"), profile)).pixels.any()


@pytest.mark.parametrize("compression", [1, 5])
def test_tiff_of_millions_of_strips(compression):
    """A TIFF with more strips than rows, which Pillow would take one by one for minutes, is refused."""
    strips = 1_000_000
    begin = 8 + 2 + 12 * 9 + 4
    entries = {**GREY, 259: (3, 1, compression), 278: (4, 1, 1), 273: (4, strips, begin), 279: (4, 1, 64)}
    content = tiff(entries, np.full(strips, begin, "<u4").tobytes())
    assert "at most 50000 strips" in refusal(content)


def test_tiff_of_one_huge_strip():
    """A strip that claims four gigabytes is refused without room being made for it."""
    entries = {**GREY, 256: (4, 1, 7000), 257: (4, 1, 7000), 259: (3, 1, 5), 273: (4, 1, 200), 278: (4, 1, 2**32 - 1)}
    assert "damaged" in refusal(tiff({**entries, 279: (4, 1, 2**32 - 1)}, bytes(4000)))


def test_big_tiff_of_millions_of_strips():
    """The same in the 64-bit form of the format."""
    row = struct.pack("<HHQQ", 273, 4, 1_000_000, 100)
    content = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 1) + row + bytes(64)
    assert "at most 50000 strips" in refusal(content)


@pytest.mark.parametrize(
    "filling",
    [
        b"\xff\xfe\0\2" * 60_000,
        b"\xff\xe5\0\2" * 60_000,
        b"\xff" * 60_000,
        b"\0" * 60_000,
        b"\xff\0" * 60_000,
        b"\xff\xd8" * 60_000,
        segment(0xF0, b"\xff\xfe\0\2" * 16_000) * 5,
    ],
    ids=["comments", "applications", "fill", "zeros", "escapes", "beginnings", "hidden"],
)
def test_jpeg_of_many_segments(saved, filling):
    """A JPEG with more before its first scan than any camera writes is refused."""
    assert "at most 50000" in refusal(with_segments(saved(noise(), "JPEG"), filling))


def test_png_of_many_chunks():
    """A PNG of a million chunks is refused."""
    assert "at most 50000 chunks" in refusal(png(extra=chunk(b"abCd", b"") * 50_000))


@pytest.mark.parametrize("blocks", [b"!\xfe\1x\0" * 30_000, b"!\xfe" + b"\1x" * 60_000 + b"\0"])
def test_gif_of_many_blocks(saved, blocks):
    """A GIF with more before its first frame than any program writes is refused."""
    content = saved(Image.new("P", (4, 4)), "GIF")
    at = content.index(b",", 13 + 3)
    assert "at most 50000 blocks" in refusal(content[:at] + blocks + content[at:])


def bmp_in_runs(size: tuple[int, int], runs: bytes) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, *size, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078) + header + bytes(range(256)) * 4 + runs


def test_bmp_in_runs():
    """A BMP in runs is shown; one that ends early, goes beyond its rows or has a mebibyte of them is refused."""
    assert render_it(bmp_in_runs((64, 64), b"\x40\x07\0\0" * 64 + b"\0\1")).pixels.shape == (12, 16, 3)
    assert "damaged" in refusal(bmp_in_runs((7000, 7000), b"\xff\7" * 100 + b"\0\1"))
    assert "1048576 bytes" in refusal(bmp_in_runs((16_384, 3_000), b"\1\0" * 600_000 + b"\0\1"))


def test_scans_of_a_large_jpeg(saved):
    """The larger a progressive JPEG, the fewer scans it may have: 30 of the largest."""
    content = saved(Image.new("RGB", (7000, 7000)), "JPEG", progressive=True)
    begin = content.rindex(b"\xff\xda")
    assert "at most 30 scans" in refusal(content[:begin] + content[begin:-2] * 40 + b"\xff\xd9")


def test_too_little_memory(saved, monkeypatch):
    """That the process has no room at the moment is not the picture's fault, and not said to be."""
    monkeypatch.setattr(opened, "_plain", lambda _: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        render_it(saved(noise(), "PNG"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG",
        b"GIF89a",
        b"BM",
        b"II*\0",
        b"MM\0+",
        b"II*\0" + b"\xff" * 4,
        b"II+\0" + b"\xff" * 20,
    ],
)
def test_counting_the_parts_of_a_stump(content):
    """What ends before its parts begin is left to the decoders."""
    parts.check_parts(content)
