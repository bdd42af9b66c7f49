"""The command `maas` against the whole mesh: what a person types, and what comes back."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from services.cli.try_next import commands
from tests.e2e.conftest import RunningMesh

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / ".build" / "samples"
SECONDS = 180

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def maas(mesh: RunningMesh) -> Run:
    """Runs `maas` in a process of its own against the mesh; fails unless it ends with the code that is expected."""

    def run(*arguments: str | Path, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [ROOT / ".venv" / "bin" / "maas", *arguments],
            input=stdin,
            capture_output=True,
            env=mesh.environment,
            cwd=ROOT,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stderr.decode()
        return done

    return run


def lines(done: subprocess.CompletedProcess[bytes]) -> list[list[str]]:
    """The words of each line of standard output."""
    return [line.split() for line in done.stdout.decode().splitlines()]


def test_a_lion_is_a_lion(maas: Run):
    """`maas vision classify` puts the right label first."""
    assert lines(maas("vision", "classify", SAMPLES / "lion.jpg"))[1][-2:] == ["lion", "n02129165"]


def test_boxes_are_drawn(maas: Run, tmp_path: Path):
    """`maas vision detect --save` finds the motorcycle and draws on the picture."""
    photo, saved = SAMPLES / "motorcycle.png", tmp_path / "boxes.png"
    done = maas("vision", "detect", photo, "--save", saved)
    assert "motorcycle" in done.stdout.decode()
    with Image.open(photo) as before, Image.open(saved) as after:
        assert before.size == after.size
        assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox()


def test_what_was_spoken_is_heard(maas: Run):
    """Sound from `maas speech speak` can be piped into `maas speech recognize`."""
    spoken = maas("speech", "speak", "Good morning, how are you?", "--out", "-").stdout
    heard = json.loads(maas("speech", "recognize", "-", "--language", "en", "--json", stdin=spoken).stdout)
    assert re.sub(r"\W+", " ", heard["transcript"].lower()).strip() == "good morning how are you"


def test_word_times_lie_in_the_recording(maas: Run):
    """`maas speech recognize --words` gives words in the order of time, none after the end."""
    words = lines(maas("speech", "recognize", SAMPLES / "ask-not.wav", "--words"))[1:]
    starts = [float(word[0]) for word in words]
    assert len(starts) > 15
    assert starts == sorted(starts)
    assert float(words[-1][1]) <= 11.1


def test_text_appears_as_it_is_spoken(maas: Run):
    """`maas speech listen` writes down what is said in a recording that comes at the speed of speech."""
    heard = maas("speech", "listen", SAMPLES / "sensible-1.wav", "--language", "en").stdout.decode()
    assert "dashwood had then leisure" in heard.lower()


def test_captions_follow_the_recording(maas: Run):
    """`maas speech transcribe --captions srt` writes numbered cues."""
    cues = maas("speech", "transcribe", SAMPLES / "ask-not.wav", "--captions", "srt").stdout.decode()
    numbers = re.findall(r"^(\d+)\n00:00:\d\d,\d{3} --> 00:00:\d\d,\d{3}$", cues, re.MULTILINE)
    assert len(numbers) > 1
    assert numbers == [str(each) for each in range(1, len(numbers) + 1)]


def test_json_is_the_gateways_json(maas: Run, mesh: RunningMesh):
    """--json prints what the gateway answers to the same request as JSON."""
    body = json.dumps({"contents": ["What a lovely day!", "How dreadful."]}).encode()
    request = urllib.request.Request(f"http://{mesh.address}/v1/nlp:analyzeSentiment", body)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        over_http = json.loads(answer.read())
    ours = json.loads(maas("nlp", "sentiment", "What a lovely day!", "How dreadful.", "--json").stdout)
    assert list(ours) == list(over_http)
    for mine, theirs in zip(ours["results"], over_http["results"], strict=True):
        assert set(mine) == set(theirs)
        assert mine["sentiment"] == theirs["sentiment"]
        assert mine["score"] == pytest.approx(theirs["score"], abs=1e-3)


def test_alike_texts_are_alike(maas: Run):
    """`maas nlp embed` tells texts of one meaning from another."""
    texts = ("How do I reset my password?", "I forgot my login.", "The soup needs salt.")
    first = lines(maas("nlp", "embed", *texts))[1]
    assert float(first[2]) > float(first[3]) + 0.05


def test_names_are_found(maas: Run):
    """`maas nlp entities` marks people and places in English and in Chinese, and addresses in any language."""
    found = maas(
        "nlp", "entities", "Angela Merkel visited Munich.", "马云在杭州工作。", "Salve: ada@example.org"
    ).stdout.decode()
    for name in (
        "[Angela Merkel person]",
        "[Munich location]",
        "[马云 person]",
        "[杭州 location]",
        "[ada@example.org email]",
    ):
        assert name in found


def test_labels_of_the_callers_own(maas: Run):
    """`maas nlp classify` puts the label first that a person would."""
    labels = ("-l", "cooking", "-l", "sport", "-l", "politics")
    assert lines(maas("nlp", "classify", "The striker scored twice in the last ten minutes.", *labels))[1][2] == "sport"


def test_annotate_finds_out_everything(maas: Run):
    """`maas nlp annotate` gives every feature of each text, none of them failed."""
    features = [f"--feature={feature}" for feature in ("sentiment", "classification", "entities", "embedding")]
    done = maas("nlp", "annotate", "What a lovely day in Munich!", "今天很开心。", *features, "--json")
    results = json.loads(done.stdout)["results"]
    assert [result["languageCode"] for result in results] == ["en", "zh"]
    for result in results:
        assert {"sentiment", "classification", "entities", "embedding"} <= set(result)
        assert "status" not in json.dumps(result)


def test_translations_keep_what_they_must(maas: Run):
    """`maas nlp translate` translates by an offered pair, a line a text, and keeps placeholders and names."""
    assert ["en", "pt"] in [line[:2] for line in lines(maas("nlp", "language-pairs", "--from", "en"))]
    texts = b"Good morning, {name}.\nThe red house is beautiful.\n"
    done = maas("nlp", "translate", "-", "--from", "en", "--to", "pt", stdin=texts).stdout.decode().splitlines()
    assert len(done) == 2
    assert "{name}" in done[0]
    assert "casa" in done[1]


REPORT = (
    "The night ferry Aurora left Turku with 412 passengers. Shortly before midnight a pump failed, and the captain "
    "turned back. Two tugs brought the ship in at four in the morning. Nobody was hurt."
)


def test_a_summary_by_the_texts_own_sentences(maas: Run, tmp_path: Path):
    """`maas nlp summarize --method extractive` prints sentences of the file as they stand there."""
    (tmp_path / "report.txt").write_text(REPORT)
    wanted = ("--method", "extractive", "--sentences", "2")
    said = maas("nlp", "summarize", "--file", tmp_path / "report.txt", *wanted).stdout.decode().strip()
    sentences = re.split(r"(?<=\.)\s", said)
    assert len(sentences) == 2
    assert all(sentence in REPORT for sentence in sentences)


def test_a_summary_streams(maas: Run):
    """`maas nlp summarize --stream --json` prints pieces, which together are the summary of the last line."""
    wanted = ("--style", "headline", "--words", "12", "--stream", "--json")
    *pieces, last = [json.loads(line) for line in maas("nlp", "summarize", REPORT, *wanted).stdout.splitlines()]
    assert "".join(piece["delta"] for piece in pieces) == last["summary"]["content"] != ""


def test_questions_are_answered_from_passages_only(maas: Run, tmp_path: Path):
    """`maas nlp ask` answers with the passage's words, and says when the passages do not contain the answer."""
    (tmp_path / "report.txt").write_text(REPORT)
    questions = ("How many passengers were on board?", "What is the name of the captain's dog?")
    done = maas("nlp", "ask", *questions, "--passage", tmp_path / "report.txt").stdout.decode()
    known, _, unknown = done.partition(questions[1])
    assert "412" in known
    assert "report.txt:" in known
    assert "do not contain the answer" in unknown


def test_a_reply_streams_and_stops_at_its_limit(maas: Run):
    """`maas nlp reply --stream --json` prints pieces, which together are the reply, cut at --max-tokens."""
    limits = ("--max-tokens", "8", "--temperature", "0", "--stream", "--json")
    done = maas("nlp", "reply", "Count from one to one hundred in words.", *limits)
    *pieces, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert "".join(piece["delta"] for piece in pieces) == last["response"]["reply"] != ""
    assert last["response"]["finishReason"] == "FINISH_REASON_LENGTH"
    assert last["response"]["usage"]["outputTokens"] <= 8


def test_a_prepared_reply_is_found(maas: Run, tmp_path: Path):
    """`maas nlp reply --canned-only` takes the reply whose question means the same, and writes nothing itself."""
    (tmp_path / "faq.csv").write_text(
        "question,reply\nWhen do you open?,We open at nine.\nHow can I pay?,Cash or card.\n"
    )
    canned = ("--canned", tmp_path / "faq.csv", "--canned-only")
    assert maas("nlp", "reply", "What are your opening hours?", *canned).stdout == b"We open at nine.\n"


def test_a_chat_goes_on(maas: Run):
    """`maas nlp chat` answers each line of standard input."""
    stdin = b"My name is Ada. Say hello.\nWhat is my name? One word.\n"
    done = maas("nlp", "chat", "--max-tokens", "12", "--temperature", "0", stdin=stdin)
    assert "Ada" in done.stdout.decode()
    assert done.stderr.decode().count("by ") >= 2


def test_a_model_is_told_about(maas: Run):
    """`maas models NAME` shows the language model that answers by default, its languages and where it is weak."""
    found = json.loads(maas("nlp", "config", "--json").stdout)["models"]
    (writer,) = [model for model in found if model["task"] == "text-generation" and model["default"]]
    shown = maas("models", writer["name"]).stdout.decode()
    assert all(note in shown for note in writer["languageNotes"].values())
    assert writer["note"] in shown


def test_preprocessing_is_in_reach(maas: Run, tmp_path: Path):
    """Each `maas preprocess` command answers, and what it saves can be used again."""
    assert maas("preprocess", "normalize", "  ﬁne  ", "--form", "nfkc").stdout == b"fine\n"
    ids = lines(maas("preprocess", "tokenize", "hello world", "--tokenizer", "minilm-l6"))[1]
    assert ids[2:6] == ["101", "7592", "2088", "102"]
    cropped = tmp_path / "cropped.png"
    size = ("--width", "320", "--height", "200", "--fit", "cover")
    maas("preprocess", "image", SAMPLES / "lion.jpg", *size, "--save", cropped)
    assert Image.open(cropped).size == (320, 200)
    assert lines(maas("vision", "classify", cropped))[1][-2] == "lion"
    wav = tmp_path / "slow.wav"
    maas("preprocess", "audio", SAMPLES / "try-again.wav", "--rate", "8000", "--save", wav)
    converted = json.loads(maas("preprocess", "audio", wav, "--json").stdout)
    assert (converted["sourceSampleRateHertz"], converted["sourceChannels"]) == (8000, 1)


def test_graphs_run(maas: Run):
    """Both graphs take files with @ and print outputs and nodes."""
    looked = maas("graph", "run", "look-twice", "--input", f"photo=@{SAMPLES / 'coffee.png'}").stdout.decode()
    assert "espresso" in looked
    assert re.search(r"^detect +DetectObjects +━+", looked, re.MULTILINE)
    heard = maas("graph", "run", "hear-and-judge", "-i", f"recording=@{SAMPLES / 'try-again.wav'}").stdout.decode()
    assert "fail better" in heard.lower()
    assert re.search(r"^judge +AnalyzeSentiment +━+", heard, re.MULTILINE)


def test_models_tells_what_there_is(maas: Run):
    """`maas models` lists every service as answering, with models, and all graphs."""
    found = json.loads(maas("models", "--json").stdout)
    assert {service["name"].split(".")[1] for service in found["services"]} == {
        "nlp",
        "preprocessing",
        "router",
        "speech",
        "vision",
    }
    assert not [service for service in found["services"] if "status" in service]
    shipped = sorted(path.stem for path in (ROOT / "services/router/graphs").glob("*.yaml"))
    assert sorted(graph["name"] for graph in found["graphs"]) == shipped
    listed = lines(maas("graph", "list"))
    assert [words[0] for words in listed if words and words[0] in shipped] == shipped


def test_a_wrong_photo_is_told_with_its_field(maas: Run):
    """A file that is no picture fails with the field's name and no trace of Python."""
    done = maas("vision", "classify", ROOT / "pyproject.toml", code=1)
    assert done.stdout == b""
    assert b"INVALID_ARGUMENT: image.content" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_demo_shows_everything(maas: Run, mesh: RunningMesh, monkeypatch: pytest.MonkeyPatch):
    """`maas demo --up` shows a mesh that runs already, with a trace through every layer, and leaves it running."""
    page = maas("demo", "--up").stdout.decode()
    assert "A mesh already runs" in page
    for right in (
        "espresso",
        "dining table",
        "a face, some",
        "region-based segmentation",
        "bicycle #",
        "what appeared",
        "[angela merkel person]",
        "writes here",
        "412",
        "do not contain the answer",
        "ask not",
        "word for word what was said",
        "set_timer: minutes = 25",
        "no command",
        "fail better",
    ):
        assert right in page.lower().replace("\n    ", " ")
    for stage in ("gateway", "router", "vision ClassifyImage", "preprocessing RenderImage", "triton compute"):
        assert stage in page.partition("TRACE")[2]
    monkeypatch.chdir(ROOT)
    for command in commands(mesh.address, ROOT / ".build"):
        assert command in page
    assert mesh.ready()


@pytest.mark.parametrize("which", range(3), ids=["curl", "maas", "python"])
def test_the_commands_to_try_next_work(mesh: RunningMesh, monkeypatch: pytest.MonkeyPatch, which: int):
    """Each command that the demo ends with works as it stands, typed in the repository."""
    monkeypatch.chdir(ROOT)
    command = commands(mesh.address, ROOT / ".build")[which]
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert "SENTIMENT_POSITIVE" in done.stdout or "person" in done.stdout
