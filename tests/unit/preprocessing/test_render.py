"""Parts of pictures, and several renderings of one: what they show, and that the picture is decoded once."""

import numpy as np
import pytest
from PIL import Image

from services.mesh.ports import Region, Target
from services.preprocessing.pipelines.geometry import plan, stored_box
from services.preprocessing.pipelines.image import opened, render

BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def places(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards, and blue is 200."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 200)], axis=2).astype(np.uint8))


def shows_its_region(pixels, part: Region) -> bool:
    """Whether each place on the rendering shows the place of the original that source_region says, or is filling."""
    height, width, _ = pixels.pixels.shape
    region = pixels.source_region
    for across, down in ((0.1, 0.1), (0.5, 0.3), (0.9, 0.8)):
        x, y = int(across * width), int(down * height)
        red, green, blue = pixels.pixels[y, x].astype(int)
        source_x = region.x_min + (x + 0.5) / width * (region.x_max - region.x_min)
        source_y = region.y_min + (y + 0.5) / height * (region.y_max - region.y_min)
        if blue < 100:
            if source_x < part.x_max - 0.02 and source_y < part.y_max - 0.02:
                return False
        elif abs(red / 255 - source_x) > 0.03 or abs(green / 255 - source_y) > 0.03:
            return False
    return True


@pytest.mark.parametrize("fit", ["stretch", "cover", "contain", "inside"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_a_part_of_a_picture(saved, image_format, orientation, fit):
    """A region of any upright picture is rendered with any fit, and the answer's region maps it back."""
    upright = places(600, 400)
    stored = upright.transpose(BACK[orientation]) if orientation in BACK else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98, "subsampling": 0} if image_format == "JPEG" else {}
    content = saved(stored, image_format, exif=exif, **options)
    regions = [Region(0.1, 0.25, 0.45, 0.7), Region(0.5, 0.5, 0.7, 0.6), Region(0.0, 0.05, 0.7, 0.65)]
    targets = [Target(width, height, fit, 0.9, region) for region in regions for width, height in ((40, 30), (25, 60))]
    found = render.render(content, targets)
    assert (found.source_width, found.source_height) == (600, 400)
    for pixels, target in zip(found.renderings, targets, strict=True):
        assert shows_its_region(pixels, target.region), (target, pixels.source_region)
        shown, region = pixels.source_region, target.region
        if fit in {"stretch", "inside"}:
            assert (shown.x_min, shown.y_max) == pytest.approx((region.x_min, region.y_max))
        if fit == "cover":
            assert region.x_min < shown.x_min < shown.x_max < region.x_max
        if fit == "contain":
            assert (shown.x_min, shown.y_min) == pytest.approx((region.x_min, region.y_min))


def test_inside_never_enlarges(saved):
    """A picture is scaled down until it fits, proportions kept; one that fits stays as it is, pixel for pixel."""
    content = saved(places(600, 400), "PNG")
    large, small, narrow = render.render(
        content, [Target(4096, 4096, "inside"), Target(300, 300, "inside"), Target(4096, 100, "inside")]
    ).renderings
    np.testing.assert_array_equal(large.pixels, np.asarray(places(600, 400)))
    assert small.pixels.shape == (200, 300, 3)
    assert narrow.pixels.shape == (100, 150, 3)
    assert {each.source_region for each in (large, small, narrow)} == {Region(0, 0, 1, 1)}


def test_several_renderings_are_each_as_if_alone(saved):
    """The most demanding target decides how a JPEG is decoded, so the others are at least as good as alone."""
    content = saved(places(1600, 1200), "JPEG", quality=92)
    targets = [Target(64, 48, "stretch"), Target(1000, 700, "stretch"), Target(20, 20, "contain")]
    together = render.render(content, targets).renderings
    for target, found in zip(targets, together, strict=True):
        (alone,) = render.render(content, [target]).renderings
        assert found.source_region == alone.source_region
        assert np.abs(found.pixels.astype(int) - alone.pixels).mean() < 1


def test_the_file_is_decoded_once_and_as_small_as_may_be(saved, monkeypatch):
    """Small targets alone take an eighth of a large JPEG; a large one among them takes all of it."""
    scales = []
    decode = render.decode

    def decoded(*args, **options):
        found = decode(*args, **options)
        scales.append((found.scale, found.image.size))
        return found

    monkeypatch.setattr(render, "decode", decoded)
    content = saved(places(1600, 1200), "JPEG")
    render.render(content, [Target(80, 60, "stretch"), Target(50, 50, "cover")])
    render.render(content, [Target(80, 60, "stretch"), Target(1500, 900, "inside")])
    assert scales == [(8, (200, 150)), (1, (1600, 1200))]


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_box_goes_where_the_picture_is_stored(turn):
    """The box of a part on the stored picture, turned upright, is that part."""
    source = (30, 20)
    stored_size = (20, 30) if turn >= 5 else source
    left, top, right, bottom = map(int, stored_box((3, 5, 13, 9), source, turn))
    stored = Image.new("L", stored_size)
    stored.paste(255, (left, top, right, bottom))
    upright = np.asarray(opened.upright(stored, turn))
    assert upright.shape == (20, 30)
    assert np.argwhere(upright).min(axis=0).tolist() == [5, 3]
    assert np.argwhere(upright).max(axis=0).tolist() == [8, 12]


@pytest.mark.parametrize("region", [Region(0.5, 0.5, 0.5, 0.5), Region(0, 0, 0, 1), Region(1, 1, 1, 1)])
@pytest.mark.parametrize("fit", ["stretch", "cover", "contain", "inside"])
def test_a_part_without_area(saved, region, fit):
    """Of a part smaller than a pixel one pixel is shown, wherever it lies."""
    (found,) = render.render(saved(places(60, 40), "PNG"), [Target(8, 8, fit, 1.0, region)]).renderings
    assert found.pixels.size
    shown = plan((60, 40), Target(8, 8, "stretch", 1.0, region)).region
    assert (shown.x_max - shown.x_min) * 60 == pytest.approx(1)
    assert shown.x_min >= 0
    assert shown.y_max <= 1


def test_the_last_column_of_a_picture_decoded_smaller(saved):
    """A part at the far edge of a JPEG whose size is no multiple of 8 is shown too."""
    content = saved(places(1201, 803), "JPEG")
    part = Region(0.6, 0.6, 1.0, 1.0)
    (found,) = render.render(content, [Target(12, 12, "stretch", 1.0, part)]).renderings
    assert shows_its_region(found, part)
