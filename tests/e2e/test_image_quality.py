"""What is found out about known photos, as a person would; through the gateway."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tritonclient.grpc import service_pb2 as triton_pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from maas.type.v1.media_pb2 import BoundingBox
from maas.type.v1.media_pb2 import Image as Photo
from maas.vision.v1 import face_pb2, image_pb2, redaction_pb2, vision_pb2_grpc
from maas.vision.v1 import vision_pb2 as pb

SAMPLES = Path(__file__).parents[2] / ".build/samples"
SECONDS = 60
AT_ONCE = 32


@pytest.fixture(scope="module")
def vision(mesh):
    with grpc.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        yield vision_pb2_grpc.VisionServiceStub(channel)


@pytest.fixture(scope="module")
def triton(mesh):
    with grpc.insecure_channel(f"127.0.0.1:{mesh.ports.triton_grpc}") as channel:
        yield GRPCInferenceServiceStub(channel)


def photo(name: str) -> Photo:
    return Photo(content=(SAMPLES / name).read_bytes())


def encoded(picture: Image.Image, **options: object) -> Photo:
    file = io.BytesIO()
    picture.save(file, options.pop("format", "PNG"), **options)
    return Photo(content=file.getvalue())


def features(*names: pb.ImageFeature.ValueType) -> list[pb.ImageFeatureRequest]:
    return [pb.ImageFeatureRequest(feature=name) for name in names]


def test_like_pictures_are_near(vision):
    """Two big cats are nearer to each other than either is to a cup of coffee; vectors have length one."""

    def embedded(name: str) -> np.ndarray:
        return np.array(vision.EmbedImage(image_pb2.EmbedImageRequest(image=photo(name)), timeout=SECONDS).embedding)

    lion, cheetah, coffee = (embedded(name) for name in ("lion.jpg", "cheetah.jpg", "coffee.png"))
    np.testing.assert_allclose([np.linalg.norm(each) for each in (lion, cheetah, coffee)], 1, atol=1e-5)
    assert lion @ cheetah > max(lion @ coffee, cheetah @ coffee) + 0.05


def test_labels_have_wordnet_ids(vision):
    """An espresso is n07920052 in WordNet."""
    response = vision.ClassifyImage(pb.ClassifyImageRequest(image=photo("coffee.png"), max_results=1), timeout=SECONDS)
    assert [(label.name, label.label_id) for label in response.labels] == [("espresso", "n07920052")]


def test_small_things_are_found_in_tiles(vision):
    """On a large photo of people at a table the cups and the bottle are found in tiles only, and nobody twice."""
    with Image.open(SAMPLES / "people-at-table.jpg") as opened:
        large = encoded(opened.convert("RGB").resize((opened.width * 3, opened.height * 3)))

    def found(tiling: pb.Tiling.ValueType) -> Counter[str]:
        request = pb.DetectObjectsRequest(image=large, tiling=tiling)
        return Counter(each.name for each in vision.DetectObjects(request, timeout=SECONDS).objects)

    whole, tiled = found(pb.TILING_OFF), found(pb.TILING_ON)
    assert not whole.keys() & {"cup", "bottle"}
    assert tiled.keys() >= {"cup", "bottle", "person", "chair"}
    assert whole["person"] == tiled["person"] == 6
    assert tiled["bottle"] == 1


def executed(triton: GRPCInferenceServiceStub, model: str) -> tuple[int, int]:
    """How many pictures a model has seen, and in how many executions."""
    answer = triton.ModelStatistics(triton_pb.ModelStatisticsRequest(name=model), timeout=SECONDS)
    return answer.model_stats[0].inference_count, answer.model_stats[0].execution_count


@pytest.mark.parametrize(
    ("rpc", "request_"),
    [("DetectObjects", pb.DetectObjectsRequest), ("ClassifyImage", pb.ClassifyImageRequest)],
)
def test_concurrent_calls_share_batches(vision, triton, rpc, request_):
    """Of many calls at once the model sees each picture, in fewer executions than pictures."""
    call = getattr(vision, rpc)
    request = request_(image=photo("cat.png"))
    model = call(request, timeout=SECONDS).model
    before = executed(triton, model)
    answers = [call.future(request, timeout=SECONDS) for _ in range(AT_ONCE)]
    assert {answer.result().model for answer in answers} == {model}
    seen, executions = np.subtract(executed(triton, model), before)
    assert seen == AT_ONCE
    assert executions < seen


def test_all_that_can_be_told_of_a_photo(vision):
    """Every feature answers, from one call."""
    wanted = features(*(name for name in pb.ImageFeature.values() if name))
    request = pb.AnnotateImageRequest(image=photo("portrait.png"), features=wanted)
    found = vision.AnnotateImage(request, timeout=SECONDS).annotation
    assert list(found.failures) == []
    assert {each.feature for each in found.models} == {each.feature for each in wanted}
    assert "person" in {each.name for each in found.objects}
    assert (len(found.faces), len(found.embedding)) == (1, 1280)
    assert found.safety.unsafe_score < 0.2
    nose = found.poses[0].keypoints[0]
    face = found.faces[0].bounding_box
    assert nose.body_part == image_pb2.BODY_PART_NOSE
    assert face.x_min < nose.position.x < face.x_max
    assert face.y_min < nose.position.y < face.y_max
    mask = Image.open(io.BytesIO(found.person_mask.png))
    assert mask.size == (found.image_width, found.image_height)
    assert mask.getpixel((nose.position.x * mask.width, nose.position.y * mask.height)) > 200
    assert 0.3 < found.person_mask.coverage < 0.8


def test_a_batch_keeps_its_order(vision):
    """Each picture has its answer in its place, and one that is none fails alone."""
    broken = Photo(content=photo("lion.jpg").content[:5000])
    images = [photo("lion.jpg"), broken, photo("coffee.png"), Photo(content=b"no picture"), photo("cheetah.jpg")]
    request = pb.BatchAnnotateImagesRequest(images=images, features=features(pb.IMAGE_FEATURE_LABELS))
    results = vision.BatchAnnotateImages(request, timeout=SECONDS).results
    codes = [result.status.code for result in results]
    assert codes == [0, grpc.StatusCode.INVALID_ARGUMENT.value[0], 0, grpc.StatusCode.INVALID_ARGUMENT.value[0], 0]
    assert [results[at].annotation.labels[0].name for at in (0, 2, 4)] == ["lion", "espresso", "cheetah"]
    assert results[1].status.message.startswith("images[1].content: ")
    assert results[3].status.message.startswith("images[3].content: ")


LEFT = ["Ships leave the harbour before", "the sun stands above the hills,", "and the gulls follow them out"]
RIGHT = ["On the quay the fishermen sort", "what the night has brought them,", "and talk about the weather that"]


def page() -> Image.Image:
    """A heading above two columns."""
    drawn = Image.new("RGB", (1400, 400), "white")
    pen = ImageDraw.Draw(drawn)
    pen.text((300, 30), "The harbour in the morning", font=ImageFont.load_default(size=48), fill="black")
    for left, lines in ((60, LEFT), (760, RIGHT)):
        for row, line in enumerate(lines):
            pen.text((left, 150 + 60 * row), line, font=ImageFont.load_default(size=28), fill="black")
    return drawn


def letters(lines: Sequence[str]) -> str:
    """Without spaces, which readers of writing are bad at."""
    return "".join("".join(lines).split())


def test_a_page_is_read_column_by_column(vision):
    """Heading, left column, right column; each line where it stands."""
    response = vision.RecognizeText(image_pb2.RecognizeTextRequest(image=encoded(page())), timeout=SECONDS)
    assert letters([response.text]) == letters(["The harbour in the morning", *LEFT, *RIGHT])
    heading = response.lines[0]
    assert heading.bounding_box.y_max < 0.3
    assert heading.corners[0].x == pytest.approx(300 / 1400, abs=0.02)
    assert max(abs(line.orientation_degrees) for line in response.lines) < 3


@pytest.mark.parametrize(("turn", "orientation"), [(Image.Transpose.ROTATE_270, 90), (Image.Transpose.ROTATE_180, 180)])
def test_a_turned_page_is_read_all_the_same(vision, turn, orientation):
    """A page that lies on its side or upside down begins with its heading, and says how it lies."""
    turned = encoded(page().transpose(turn))
    response = vision.RecognizeText(image_pb2.RecognizeTextRequest(image=turned), timeout=SECONDS)
    assert letters([response.lines[0].text]) == letters(["The harbour in the morning"])
    askew = [math.radians(line.orientation_degrees - orientation) for line in response.lines]
    assert min(map(math.cos, askew)) > 0.99


@pytest.mark.parametrize(
    "method",
    [redaction_pb2.REDACTION_METHOD_FILL, redaction_pb2.REDACTION_METHOD_BLUR, redaction_pb2.REDACTION_METHOD_PIXELATE],
)
def test_a_covered_face_is_gone(vision, method):
    """No face is found where there was one, and the rest of the picture is untouched."""
    portrait = photo("portrait.png")
    request = redaction_pb2.RedactImageRequest(image=portrait, faces=True, method=method)
    covered = vision.RedactImage(request, timeout=SECONDS)
    assert [each.kind for each in covered.regions] == ["face"]
    found = vision.DetectFaces(face_pb2.DetectFacesRequest(image=Photo(content=covered.content)), timeout=SECONDS)
    assert list(found.faces) == []
    box = covered.regions[0].bounding_box
    before, after = (
        np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in (portrait.content, covered.content)
    )
    beside = np.ones(before.shape[:2], bool)
    height, width = beside.shape
    beside[
        int(box.y_min * height) : math.ceil(box.y_max * height), int(box.x_min * width) : math.ceil(box.x_max * width)
    ] = False
    np.testing.assert_array_equal(after[beside], before[beside])


def test_covered_writing_cannot_be_read(vision):
    """Nothing is read on a page whose writing was covered."""
    request = redaction_pb2.RedactImageRequest(image=encoded(page()), text=True)
    covered = vision.RedactImage(request, timeout=SECONDS)
    assert {each.kind for each in covered.regions} == {"text"}
    read = image_pb2.RecognizeTextRequest(image=Photo(content=covered.content))
    assert vision.RecognizeText(read, timeout=SECONDS).text == ""


def test_metadata_does_not_survive(vision):
    """A JPEG comes back upright, without its EXIF, comment and colour profile, even where only a box was covered."""
    with Image.open(SAMPLES / "people-at-table.jpg") as opened:
        picture = opened.convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "the harbour, 8 a.m."
    sent = encoded(picture, format="JPEG", exif=exif, comment=b"a secret", icc_profile=b"profile")
    box = BoundingBox(x_min=0.25, y_min=0.25, x_max=0.5, y_max=0.5)
    covered = vision.RedactImage(redaction_pb2.RedactImageRequest(image=sent, boxes=[box]), timeout=SECONDS)
    back = Image.open(io.BytesIO(covered.content))
    assert (covered.media_type, back.format, back.size) == ("image/jpeg", "JPEG", (picture.height, picture.width))
    assert dict(back.getexif()) == {}
    assert back.info.keys() & {"exif", "comment", "icc_profile"} == set()
    assert max(back.getpixel((back.width * 3 // 8, back.height * 3 // 8))) < 10
