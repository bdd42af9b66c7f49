"""Pictures: every format and mode, orientation, geometry, and the limits."""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.mesh import errors
from services.mesh.ports import Pixels, Region, Target
from services.preprocessing.pipelines.geometry import plan
from services.preprocessing.pipelines.image import opened, render

# What Pillow thinks of damaged files is not ours to fix.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

FORMATS = {
    "BMP": {},
    "GIF": {},
    "JPEG": {"quality": 95},
    "PNG": {},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True},
}


class Transformed(NamedTuple):
    pixels: Pixels
    source_format: str


def transform(content, width=0, height=0, fit="stretch", crop_fraction=1.0) -> Transformed:
    found = render.transform(content, width=width, height=height, fit=fit, crop_fraction=crop_fraction)
    (pixels,) = found.renderings
    return Transformed(pixels, found.source_format)


def violation(call, field="image.content") -> errors.Violation:
    with pytest.raises(errors.InvalidArgument) as caught:
        call()
    (found,) = caught.value.violations
    assert found.field == field
    return found


def quarters(width=60, height=40) -> Image.Image:
    """Red and green above, blue and white below."""
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for left, top, colour in ((0, 0, "red"), (width // 2, 0, "lime"), (0, height // 2, "blue")):
        draw.rectangle((left, top, left + width // 2 - 1, top + height // 2 - 1), fill=colour)
    return picture


def corners(pixels: np.ndarray) -> list[str]:
    """The names of the colours in the middles of the four quarters, row by row."""
    height, width, _ = pixels.shape
    names = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}

    def name(colour):
        return next((n for n, c in names.items() if np.abs(colour - np.array(c)).max() < 12), "other")

    return [name(pixels[y, x]) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]


UPRIGHT = ["red", "lime", "blue", "white"]


@pytest.mark.parametrize("image_format", FORMATS)
def test_formats(saved, image_format):
    """Every format that the contract names comes back with its own size and pixels."""
    found = transform(saved(quarters(), image_format, **FORMATS[image_format]))
    assert found.source_format == image_format
    assert (found.pixels.source_width, found.pixels.source_height) == (60, 40)
    assert found.pixels.pixels.shape == (40, 60, 3)
    assert found.pixels.pixels.dtype == np.uint8
    assert corners(found.pixels.pixels) == UPRIGHT


@pytest.mark.parametrize("other", ["PPM", "ICO", "ICNS", "TGA", "PDF", "EPS", "AVIF", "JPEG2000", "DDS"])
def test_other_formats(saved, other):
    """Formats that the contract does not name are refused, so that no other decoder ever runs."""
    assert "is none of BMP" in violation(lambda: transform(saved(quarters(64, 64), other))).description


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "RGBA", "LA", "I;16"])
def test_modes(saved, mode):
    """Every kind of pixel becomes RGB of the right brightness."""
    grey = Image.linear_gradient("L").resize((64, 64))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "LAB":
        picture = Image.merge("LAB", (grey, *[Image.new("L", grey.size, 128)] * 2))  # 128 is no colour
    else:
        picture = grey.convert("RGB").convert(mode)
    pixels = transform(saved(picture, "TIFF" if mode in {"YCbCr", "LAB", "CMYK"} else "PNG"), 16, 16).pixels.pixels
    wanted = np.asarray(grey.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.mean(axis=2) - wanted).max() < (128 if mode == "1" else 40 if mode == "LAB" else 8)
    assert np.all(np.diff(pixels.mean(axis=(1, 2))) > 0)


def test_cmyk_jpeg(saved):
    """A JPEG in print colours keeps them, and is decoded at reduced scale as others are."""
    content = saved(quarters(600, 400).convert("CMYK"), "JPEG", quality=95)
    assert corners(transform(content, 30, 20).pixels.pixels) == UPRIGHT


def test_32_bits_are_refused():
    """Pixels of 32 bits have no agreed black and white."""
    file = io.BytesIO()
    Image.fromarray(np.ones((4, 4), np.float32)).save(file, "TIFF")
    assert "32 bits" in violation(lambda: transform(file.getvalue())).description


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "colour key"])
def test_transparency_is_laid_on_white(saved, kind):
    """What is transparent shows white, whatever colour lies beneath."""
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    content = {
        "RGBA": lambda: saved(clear, "PNG"),
        "LA": lambda: saved(Image.new("LA", (20, 20), (0, 0)), "PNG"),
        "palette": lambda: saved(clear.quantize(), "PNG"),
        "colour key": lambda: saved(Image.new("RGB", (20, 20), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
    }[kind]()
    assert transform(content, 7, 9).pixels.pixels.min() == 255


def test_colour_does_not_leak_from_transparent_pixels(saved):
    """At the edge of a transparent part the colour beneath does not show after scaling."""
    array = np.full((64, 64, 4), 255, np.uint8)
    array[:, 31:] = (255, 0, 0, 0)  # red that nobody sees
    assert transform(saved(Image.fromarray(array), "PNG"), 9, 9).pixels.pixels.min() >= 254


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(saved, image_format, orientation):
    """All eight EXIF orientations come back upright, with every fit, scaled and at their own size."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quarters(600, 400)
    stored = stored.transpose(back[orientation]) if orientation in back else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(stored, image_format, exif=exif, **FORMATS[image_format])
    own = transform(content).pixels
    assert (own.source_width, own.source_height) == (600, 400)
    assert own.pixels.shape == (400, 600, 3)
    assert corners(own.pixels) == UPRIGHT
    for fit, size in (("stretch", (40, 100)), ("cover", (90, 30)), ("cover", (50, 50)), ("contain", (60, 40))):
        found = transform(content, *size, fit).pixels
        assert found.pixels.shape == (size[1], size[0], 3)
        assert corners(found.pixels) == UPRIGHT
    assert transform(content, 60, 80, "contain").pixels.source_region.y_max == 2


def test_broken_exif_counts_as_none(saved):
    """A picture with damaged EXIF data is shown as it is stored."""
    content = saved(quarters(), "JPEG", quality=95, exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff garbage")
    assert corners(transform(content).pixels.pixels) == UPRIGHT


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(saved, image_format):
    """Of an animation or a stack of pages the first is taken."""
    others = [Image.new("RGB", (60, 40), "black")] * 3
    content = saved(quarters(), image_format, save_all=True, append_images=others)
    assert corners(transform(content, 30, 20).pixels.pixels) == UPRIGHT


def test_picture_with_a_second_one_inside(saved):
    """The first picture of a phone's multi-picture file is taken, and the format is called JPEG."""
    content = saved(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40))], quality=95)
    found = transform(content, 30, 20)
    assert found.source_format == "JPEG"
    assert corners(found.pixels.pixels) == UPRIGHT


@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
@pytest.mark.parametrize("size", [(224, 224), (100, 37), (33, 90), (700, 500)])
@pytest.mark.parametrize("source", [(640, 427), (300, 501), (31, 17)])
def test_region_maps_pixels_to_the_original(saved, fit, size, source):
    """A place on the answer's pixels, mapped by source_region, is the same place on the original."""
    width, height = source
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    places = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 200)], axis=2).astype(np.uint8)
    found = transform(saved(Image.fromarray(places), "PNG"), *size, fit, 0.875).pixels
    region = found.source_region
    for across in (0.2, 0.5, 0.8):
        for down in (0.2, 0.5, 0.8):
            red, green, blue = found.pixels[int(down * size[1]), int(across * size[0])].astype(int)
            source_x = region.x_min + (int(across * size[0]) + 0.5) / size[0] * (region.x_max - region.x_min)
            source_y = region.y_min + (int(down * size[1]) + 0.5) / size[1] * (region.y_max - region.y_min)
            if blue < 100:
                assert fit == "contain"
                assert max(source_x, source_y) > 0.99
            else:
                assert red / 255 == pytest.approx(source_x, abs=0.02 + 1 / width)
                assert green / 255 == pytest.approx(source_y, abs=0.02 + 1 / height)


def test_fits():
    """Stretch shows all, cover the centred share, and contain reaches beyond the picture by the filling."""
    assert plan((640, 320), Target(100, 100, "stretch", 1)).region == Region(0, 0, 1, 1)
    cover = plan((640, 320), Target(100, 100, "cover", 0.5))
    assert cover.box == (240, 80, 400, 240)
    contain = plan((640, 320), Target(100, 100, "contain", 1))
    assert (contain.width, contain.height) == (100, 50)
    assert contain.region == Region(0, 0, 1, 2)


def test_filling_is_black(saved):
    """With contain the rest, on the right and below, is black."""
    pixels = transform(saved(Image.new("RGB", (40, 20), "white"), "PNG"), 100, 100, "contain").pixels.pixels
    assert pixels[:50].min() == 255
    assert pixels[50:].max() == 0


def test_the_smallest_share(saved):
    """However small the share of a crop, at least one pixel of the original is shown."""
    found = transform(saved(quarters(), "PNG"), 8, 8, "cover", 1e-9).pixels
    assert found.pixels.shape == (8, 8, 3)
    region = found.source_region
    assert (region.x_max - region.x_min) * 60 == pytest.approx(1)


def test_extreme_shapes(saved):
    """A line of pixels fits anything."""
    for size in ((1, 3000), (3000, 1)):
        content = saved(Image.new("RGB", size, "red"), "PNG")
        for fit in ("stretch", "cover", "contain"):
            assert transform(content, 50, 50, fit).pixels.pixels.shape == (50, 50, 3)


def test_reduced_decoding_is_close_to_full_decoding(saved):
    """A large JPEG decoded at reduced scale differs little from one decoded whole."""
    generator = np.random.default_rng(3)
    rough = Image.fromarray(generator.integers(256, size=(40, 60, 3), dtype=np.uint8))
    picture = rough.resize((1203, 801), Image.Resampling.BICUBIC)
    content = saved(picture, "JPEG", quality=92)
    for fit in ("stretch", "cover"):
        found = transform(content, 224, 224, fit, 0.9).pixels.pixels.astype(int)
        whole = transform(saved(Image.open(io.BytesIO(content)), "PNG"), 224, 224, fit, 0.9).pixels.pixels.astype(int)
        assert np.abs(found - whole).mean() < 1
        assert np.abs(found - whole).max() < 16


def test_large_but_legal(saved):
    """A picture just within the limits is taken, unless it is to be sent whole."""
    content = saved(Image.new("L", (16_384, 3_000), 77), "PNG")
    found = transform(content, 64, 64).pixels
    assert (found.source_width, found.source_height) == (16_384, 3_000)
    assert found.pixels.min() == found.pixels.max() == 77
    assert "16384 x 3000" in violation(lambda: transform(content), "width").description


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif_claiming(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0, 0, 0)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)


@pytest.mark.parametrize("size", [(60_000, 60_000), (16_385, 1), (1, 16_385), (8_000, 6_251), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_headers(monkeypatch, size):
    """A picture that claims more than the limits is refused before a pixel is decoded."""
    monkeypatch.setattr(render, "decode", lambda *_: pytest.fail("was decoded"))
    assert "50 megapixels and 16384" in violation(lambda: transform(png_claiming(*size), 8, 8)).description


def test_deep_gif(saved):
    """A GIF claiming a huge screen is refused, and one of thousands of frames costs no more than its first."""
    assert "megapixels" in violation(lambda: transform(gif_claiming(65_535, 65_535) + b"\x08\0;", 8, 8)).description
    frames = [Image.new("P", (2, 2), index % 2) for index in range(2)]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    frame = content[content.rindex(b"\x2c") : -1]
    deep = content[:-1] + frame * 20_000 + b";"
    assert transform(deep, 4, 4).pixels.source_width == 2


def test_tiff_with_a_huge_tile(saved):
    """A small TIFF whose one tile claims gigabytes is refused before libtiff makes room for it."""
    entries = [
        (256, 4, 4),
        (257, 4, 4),
        (258, 3, 8),
        (259, 3, 5),
        (262, 3, 1),
        (277, 3, 1),
        (322, 4, 65_520),
        (323, 4, 32_000),
        (324, 4, 8),
        (325, 4, 4),
    ]
    directory = (
        struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        + bytes(4)
    )
    content = b"II*\0" + struct.pack("<I", 12) + bytes(4) + directory
    assert "megapixels" in violation(lambda: transform(content)).description


def test_jpeg_of_many_scans(saved):
    """A progressive JPEG that repeats a scan thousands of times is refused."""
    content = saved(quarters(640, 480), "JPEG", progressive=True)
    begin = content.rindex(b"\xff\xda")
    assert corners(transform(content, 30, 20).pixels.pixels) == UPRIGHT
    bomb = content[:begin] + content[begin:-2] * 5000 + b"\xff\xd9"
    assert "100 scans" in violation(lambda: transform(bomb, 30, 20)).description


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP", bytes(64)])
def test_nothing_to_see(content):
    """Empty files and bare headers are refused."""
    violation(lambda: transform(content))


def test_too_many_bytes():
    """More than 20 MiB are refused unopened."""
    assert "20971520 bytes" in violation(lambda: transform(bytes(opened.MAX_BYTES + 1))).description


@pytest.mark.parametrize("image_format", FORMATS)
def test_truncated(saved, image_format):
    """A file cut in the middle is refused, not shown half."""
    noise = Image.fromarray(np.random.default_rng(5).integers(256, size=(200, 300, 3), dtype=np.uint8))
    content = saved(noise, image_format, **FORMATS[image_format])
    violation(lambda: transform(content[: len(content) // 2], 30, 20))


@pytest.mark.parametrize("image_format", FORMATS)
def test_damaged_pictures(saved, image_format):
    """Whatever is done to a picture, it is shown at the size asked for or refused with a reason."""
    generator = np.random.default_rng(13)
    noise = Image.fromarray(generator.integers(256, size=(40, 60, 3), dtype=np.uint8))
    content = saved(noise, image_format, **FORMATS[image_format])
    refused = []
    for _ in range(200):
        changed = np.frombuffer(content, np.uint8).copy()
        within = min(len(changed), 400) if generator.integers(2) else len(changed)
        places = generator.integers(within, size=generator.integers(1, 9))
        changed[places] = generator.integers(256, size=len(places))
        cut = changed[: generator.integers(1, len(changed))] if generator.integers(3) == 0 else changed
        try:
            pixels = transform(cut.tobytes(), 16, 12, "contain").pixels.pixels
        except errors.InvalidArgument as error:
            refused.append(error.violations[0].field)
        else:
            assert pixels.shape == (12, 16, 3)
    assert set(refused) == {"image.content"}


def test_noise():
    """Random bytes are refused, with and without a header that looks right."""
    generator = np.random.default_rng(17)
    heads = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0\x08\0\0\0"]
    for head in [*heads, b"RIFF\xff\xff\0\0WEBPVP8 "]:
        for _ in range(40):
            violation(lambda head=head: transform(head + generator.bytes(int(generator.integers(1, 2000))), 8, 8))
