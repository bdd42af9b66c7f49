"""Sentences: where they end in several languages, what a line break means, and that nothing of a text is lost."""

import random

import pytest
import sentencex

from services.preprocessing.pipelines import sentences
from services.preprocessing.pipelines.sentences import MAX_CHARACTERS, segment

CASES = {
    "en": [
        ["Dr. Smith lives in the U.S. and pays $3.50.", '"Really?" she asked.', "Wait... what?", "No!"],
        ["Mr. J. R. Jones Jr. met Prof. Lee at 5 p.m. on Jan. 5.", "See fig. 3, e.g. the left one."],
        ["It's 5 o'clock.", "Version 2.0.1 of https://example.com/a.b?c=d works!!!", "Really?!"],
        ["1. First item.", "2. Second item.", "iv. Fourth item."],
        ["hey whats up im good thanks u?", "lol ok \U0001f600 cool"],
    ],
    "zh": [
        ["今天天气很好。", "我们去公园吧！", "“你好吗？”", "他问。", "她说：“我很好。”", "然后走了"],
        ["「好。」", "他说；『走吧！』", "（真的。）好的……再见"],
    ],
    "ja": [["今日は天気がいいです。", "「行きましょう。」", "そうですか？", "はい！"]],
    "pt": [["O Sr. Silva chegou.", "A Dra. Ana saiu às 10 h.", "Tudo bem?", "Sim!"]],
    "pt-BR": [["A Dra. Ana saiu.", "Sim!"]],
    "es": [["El Sr. García vive aquí.", "¿Cómo está?", "¡Bien!", "EE. UU. es grande."]],
    "fr": [["Le président M. Dupont est là.", "M. Dupont part.", "« Oui. »", "Non."]],
    "de": [["Das ist z. B. gut.", "Am 3. Oktober ist Feiertag.", "Dr. Müller kommt."]],
    "": [["混合 text here.", "下一句。", "Next sentence!", "もう一つ。"]],
}


def found(text: str, language_code: str = "en") -> list[str]:
    return [text[each.begin : each.end] for each in segment(text, language_code)]


@pytest.mark.parametrize(("code", "wanted"), [(code, wanted) for code, cases in CASES.items() for wanted in cases])
def test_where_sentences_end(code, wanted):
    """Abbreviations, numbers and addresses end no sentence; quotes and brackets close with theirs."""
    blank = "" if code in ("zh", "ja") else " "
    assert found(blank.join(wanted), code) == wanted


def test_offsets_are_code_points():
    """Characters outside the basic plane count as one, and white space at either end is outside."""
    text = "  \U0001f600 Hi. \u00a0 \u4f60\u597d\u3002\n"
    assert [(each.begin, each.end) for each in segment(text, "")] == [(2, 7), (10, 13)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A heading\nThen text. More", ["A heading", "Then text.", "More"]),
        ("hey\nhow are you\r\nfine", ["hey", "how are you", "fine"]),
        ("Buy:\n  - milk\n  - bread\n* eggs\u2028\u2022 tea", ["Buy:", "- milk", "- bread", "* eggs", "\u2022 tea"]),
        ("one\n \n\n  two", ["one", "two"]),
        ("\n\r\n \u3000\t\n", []),
    ],
)
def test_a_line_break_ends_a_sentence(text, wanted):
    """Headings, list items and lines of a chat stand alone, with or without full stops; empty lines are nothing."""
    assert found(text) == wanted


def test_wrapped_lines_belong_together():
    """A long line that goes on with a small letter is one sentence with the next; an empty line ends it anyway."""
    line = "This sentence is so long that a program broke its line after seventy"
    assert found(f"{line}\ncharacters, and went on. Then\n") == [f"{line}\ncharacters, and went on.", "Then"]
    assert found(f"{line}\n\ncharacters") == [line, "characters"]
    assert found(f"{line}\nCharacters") == [line, "Characters"]


@pytest.mark.parametrize("unit", ["word, ", "word ", "\u597d\u597d\uff0c", "x", "\u597d", "\U0001f600"])
def test_endless_sentences_are_divided(unit):
    """Without an end mark no sentence is longer than the limit, and it is divided late, after a clause or a word."""
    text = unit * (10_000 // len(unit))
    parts = segment(text, "")
    assert all(MAX_CHARACTERS // 2 < each.end - each.begin <= MAX_CHARACTERS for each in parts[:-1])
    assert parts[-1].end - parts[-1].begin <= MAX_CHARACTERS
    if len(unit) > 1:
        assert {text[each.end - 1] for each in parts[:-1]} == {unit.strip()[-1]}


def test_the_window_does_not_show():
    """A sentence that lies across the border of what is read at once is whole."""
    wanted = [f"Sentence number {number} of Dr. Smith is here." for number in range(1000)]
    assert found(" ".join(wanted)) == wanted


PIECES = [
    *"aB zZ.!?。！？”“\"'「」（）()[]14 \n\r\t…;:,，、·•-*@#/\u200d\u0301\ufeff\x85\u2028\u3000\0é你好ñ¿ßİ글",
    "\U0001f600",
]
WORDS = [
    "Dr. ",
    "J.\u2028",
    "U.S. ",
    "http://a.b",
    "e.g. ",
    "[1]",
    "...",
    "« ",
    " »",
    "M. ",
    "word " * 12,
    "好" * 50,
    "1. ",
]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost(seed):
    """Whatever the text: sentences are in order and bounded, and white space alone lies between them."""
    chance = random.Random(seed)
    for _ in range(20):
        text = "".join(chance.choices([*PIECES, *WORDS, chr(chance.randrange(0xD7FF))], k=chance.choice([5, 40, 400])))
        position = 0
        for each in segment(text, chance.choice(["", "en", "zh", "de", "fr", "xx"])):
            sentence = text[each.begin : each.end]
            assert not text[position : each.begin].strip()
            assert sentence == sentence.strip()
            assert 0 < len(sentence) <= MAX_CHARACTERS
            position = each.end
        assert not text[position:].strip()


def test_a_panic_of_the_library_loses_nothing(monkeypatch):
    """Should the library break on a text, the text is one sentence; another error is not hidden."""
    panic = type("PanicException", (BaseException,), {})

    def break_down(error):
        def raise_it(language, text):
            raise error

        monkeypatch.setattr(sentencex, "get_sentence_boundaries", raise_it)

    break_down(panic("byte index 3 is not a char boundary"))
    assert found("One. Two.") == ["One. Two."]
    break_down(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        segment("One. Two.", "en")


def test_the_work_grows_with_the_length(monkeypatch):
    """128 KiB of Chinese quotes, on which the library alone needs the square of it, go to it in short pieces."""
    asked = []
    real = sentencex.get_sentence_boundaries
    monkeypatch.setattr(
        sentencex, "get_sentence_boundaries", lambda language, text: asked.append(len(text)) or real(language, text)
    )
    text = "“你好。" * (131_072 // 12)
    assert len(segment(text, "zh")) == 131_072 // 12
    assert max(asked) <= 2 * MAX_CHARACTERS
    assert sum(asked) < 2 * len(text)
    assert sentences.sentencex is sentencex
