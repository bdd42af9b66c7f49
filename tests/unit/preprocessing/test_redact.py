"""Covered places: nothing of what was there is left, everything else is, and nothing that the file said of itself."""

import io

import numpy as np
import pytest
from PIL import Image

from services.mesh import errors
from services.mesh.ports import Region
from services.preprocessing.pipelines.image import redact
from services.preprocessing.pipelines.image.checks import check_regions

PLACE = Region(0.25, 0.25, 0.75, 0.75)


def noise(width=400, height=300, channels=3) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(256, size=(height, width, channels), dtype=np.uint8))


def opened(found) -> Image.Image:
    return Image.open(io.BytesIO(found.content))


def test_fill(saved):
    """The place is black out to whole pixels, and of a PNG every other pixel is as it was."""
    found = redact.redact(saved(noise(), "PNG"), [Region(0.25, 0.25, 0.7501, 0.75)], method="fill")
    assert found.media_type == "image/png"
    wanted = np.asarray(noise()).copy()
    wanted[75:225, 100:301] = 0
    np.testing.assert_array_equal(np.asarray(opened(found)), wanted)


@pytest.mark.parametrize("method", ["blur", "pixelate"])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_what_was_there_is_gone(saved, image_format, method):
    """Of a sharp pattern some 5 x 5 mean colours are left; the rest of the picture stays."""
    stripes = np.zeros((300, 400, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = 255
    found = redact.redact(saved(Image.fromarray(stripes), image_format), [PLACE], method=method)
    after = np.asarray(opened(found)).astype(int)
    assert after[85:215, 110:290].std() < 6
    assert np.abs(after[:66] - stripes[:66]).mean() < 8


def test_squares_are_few(saved):
    """A pixelated place has five squares along its longer side, each of one colour."""
    found = redact.redact(saved(noise(), "PNG"), [PLACE], method="pixelate")
    place = np.asarray(opened(found))[75:225, 100:300]
    assert len(np.unique(place.reshape(-1, 3), axis=0)) == 5 * 4


@pytest.mark.parametrize("method", ["blur", "pixelate"])
def test_a_small_place_becomes_one_colour(saved, method):
    """A place of few pixels, where five squares would cover nothing, is their mean."""
    found = redact.redact(saved(noise(), "PNG"), [Region(0.5, 0.5, 0.515, 0.52)], method=method)
    assert len(np.unique(np.asarray(opened(found))[150:156, 200:206].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_and_without_metadata(saved, orientation):
    """Places are found on the upright picture, which comes back without EXIF, comment, profile or thumbnail."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a maker"
    stored = noise(400, 300) if orientation < 5 else noise(300, 400)
    content = saved(stored, "JPEG", exif=exif, comment=b"a secret", icc_profile=b"a profile", quality=95)
    found = redact.redact(content, [Region(0, 0, 0.25, 0.25)], method="fill")
    image = opened(found)
    assert (found.media_type, image.size) == ("image/jpeg", (400, 300))
    assert not image.getexif()
    assert not {"exif", "comment", "icc_profile", "xmp", "photoshop"} & image.info.keys()
    assert b"a secret" not in found.content
    assert b"a maker" not in found.content
    pixels = np.asarray(image)
    assert pixels[:70, :95].max() < 32
    assert pixels[80:].std() > 30


def test_metadata_of_png(saved):
    """Texts of a PNG are gone too."""
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415

    texts = PngInfo()
    texts.add_text("Comment", "a secret")
    found = redact.redact(saved(noise(), "PNG", pnginfo=texts, dpi=(72, 72)), [PLACE], method="fill")
    assert not opened(found).info


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16"])
@pytest.mark.parametrize("method", ["fill", "blur", "pixelate"])
def test_modes(saved, mode, method):
    """Every kind of pixel is covered, opaquely, and comes back at its own size."""
    grey = Image.linear_gradient("L").resize((64, 48))
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        picture = grey.convert("RGB").convert(mode)
    image = opened(redact.redact(saved(picture, "TIFF" if mode == "CMYK" else "PNG"), [PLACE], method=method))
    assert (image.format, image.size) == ("PNG", (64, 48))
    pixels = np.asarray(image.convert("RGBA"))
    assert pixels[..., 3].min() == 255
    if method == "fill":
        assert pixels[14:34, 18:46, :3].max() == 0


def test_what_transparency_hid_is_covered_too(saved):
    """Colours beneath a transparent place cannot be brought back by making it opaque."""
    hidden = np.concatenate([np.asarray(noise()), np.zeros((300, 400, 1), np.uint8)], axis=2)
    for method in ("fill", "blur", "pixelate"):
        found = np.asarray(opened(redact.redact(saved(Image.fromarray(hidden), "PNG"), [PLACE], method=method)))
        assert len(np.unique(found[80:220, 105:295, :3].reshape(-1, 3), axis=0)) <= 25


def test_what_lies_outside_is_ignored():
    """Places are cut at the edges of the picture, and those beyond them left out."""
    found = check_regions([Region(-1, -1, 0.5, 0.5), Region(1.5, 0, 2, 1), Region(0.2, 0.2, 0.2, 0.9)])
    assert found == [Region(0, 0, 0.5, 0.5)]


def test_nothing_left_to_cover(saved):
    """A picture whose places all lie outside comes back whole."""
    found = redact.redact(saved(noise(), "PNG"), [], method="blur")
    np.testing.assert_array_equal(np.asarray(opened(found)), np.asarray(noise()))


def test_too_much_to_cover(saved):
    """Places of more than eight times the picture's area are refused before it is decoded, but for a small picture."""
    large = saved(Image.new("L", (2048, 2049)), "PNG")
    with pytest.raises(errors.InvalidArgument, match="8 times"):
        redact.redact(large, [Region(0, 0, 1, 1)] * 9, method="blur")
    redact.redact(saved(noise(), "PNG"), [Region(0, 0, 1, 1)] * 100, method="fill")


def test_an_answer_has_a_bound(saved, monkeypatch):
    """A picture that would be larger than 40 MiB as PNG is refused while it is written."""
    assert redact.MAX_ANSWER_BYTES == 40 * 1024 * 1024
    monkeypatch.setattr(redact, "MAX_ANSWER_BYTES", 100_000)
    with pytest.raises(errors.InvalidArgument, match="100000 bytes") as caught:
        redact.redact(saved(noise(), "PNG"), [PLACE], method="fill")
    assert caught.value.violations[0].field == "image.content"
