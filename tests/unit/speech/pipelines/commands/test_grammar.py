"""Grammars of commands: what is refused, and how words become intents and slots."""

import json
from itertools import product

import pytest

from services.mesh.errors import InvalidArgument
from services.speech.pipelines.commands import numbers
from services.speech.pipelines.commands.grammar import Command, Slot, checked
from services.speech.pipelines.commands.network import MAX_ARCS, network

SUITS = Slot("suit", values=(("clubs", ()), ("hearts", ("hearts", "red ones"))))
MINUTES = Slot("n", numbers=(0, 999))


def grammar(*phrases, slots=(SUITS, MINUTES)):
    return checked([Command("do", phrases)], slots)


def refusal(commands, slots=()):
    with pytest.raises(InvalidArgument) as caught:
        checked(commands, slots)
    return caught.value.violations[0]


def sentences(made):
    """All that a network without cycles lets through."""
    parsed = json.loads(network(made))
    following = {}
    for begin, end, word in parsed["arcs"]:
        following.setdefault(begin, []).append((end, word))
    found, waiting = set(), [(0, ())]
    while waiting:
        state, words = waiting.pop()
        if state == parsed["final"]:
            found.add(words)
        waiting += [(end, (*words, word) if word else words) for end, word in following.get(state, ())]
    return found


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "zero"), (7, "seven"), (25, "twenty five"), (100, "one hundred"), (999, "nine hundred and ninety nine")],
)
def test_numbers_as_they_are_said(number, said):
    """The first way to say a number is the usual one."""
    assert numbers.spoken(number)[0] == tuple(said.split())


def test_no_two_numbers_are_said_alike():
    """Each way to say a number means that number."""
    said = [words for number in range(1000) for words in numbers.spoken(number)]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("said", ["a hundred and five", "a hundred five", "one hundred and five", "one hundred five"])
def test_a_number_is_told_in_digits(said):
    """Whichever way it was said."""
    parse = grammar("set a timer for {n} minutes").parse(f"set a timer for {said} minutes".split())
    assert [(each.slot, each.value) for each in parse.slots] == [("n", "105")]


def test_values_with_several_spoken_forms():
    """The answer has the value, and which words filled it."""
    parse = grammar("[please] take {suit} [now]").parse(["take", "red", "ones", "now"])
    assert [(each.value, each.begin, each.end) for each in parse.slots] == [("hearts", 1, 3)]


def test_words_that_are_no_phrase():
    """They are no command; nor is the beginning of one."""
    made = grammar("take {suit} now")
    assert made.parse(["take", "clubs"]) is None
    assert made.parse(["go"]) is None
    assert made.parse([]) is None


def test_the_longest_value_that_leaves_the_rest_possible():
    """A value that is the beginning of another does not hide the phrase."""
    slot = Slot("city", values=(("york", ()), ("york road", ())))
    made = checked([Command("go", ("to {city} road",)), Command("on", ("to {city} road north",))], [slot])
    assert made.parse(["to", "york", "road"]).slots[0].value == "york"
    assert made.parse(["to", "york", "road", "road"]).slots[0].value == "york road"
    assert made.parse(["to", "york", "road", "north"]).intent == "on"


def test_network_holds_what_the_grammar_says():
    """Each sentence of the network is a command, and each way to say one is in the network."""
    made = grammar("[please] take {suit} [right now]", "take {suit}", "stop")
    expected = {
        tuple(" ".join(each).split())
        for each in product(("", "please"), ("take",), ("clubs", "hearts", "red ones"), ("", "right now"))
    }
    assert sentences(made) == expected | {("stop",)}
    assert all(made.parse(each) is not None for each in sentences(made))


def test_numbers_share_their_words():
    """A thousand numbers take few arcs, and lose none."""
    made = grammar("channel {n}")
    assert len(json.loads(network(made))["arcs"]) < 250
    assert len(sentences(made)) == sum(len(numbers.spoken(number)) for number in range(1000))


def test_written_forms_are_spoken_words():
    """Case, accents, digits, hyphens and punctuation become the words that are said."""
    made = grammar("What's the Café's T-shirt 25, please?")
    assert made.parse(["what's", "the", "cafe's", "t", "shirt", "twenty", "five", "please"]) is not None


def test_many_optional_words_are_parsed_at_once():
    """Sixty words that may be left out make no more work than their number."""
    made = grammar("[a] " * 49 + "b")
    assert made.parse(["a"] * 40 + ["c"]) is None
    assert made.parse(["a"] * 40 + ["b"]) is not None


def test_a_network_that_is_too_large_is_refused():
    """Large slots in many phrases are an error that names the grammar and the limit."""
    slots = [Slot(f"s{index}", values=tuple((f"{_letters(number)}", ()) for number in range(500))) for index in (0, 1)]
    commands = [Command("c", tuple(f"go {{s{index % 2}}} {_letters(index)}" for index in range(20))) for _ in range(2)]
    commands.append(Command("d", tuple(f"stay {{s0}} {_letters(900 + index)} {{s1}}" for index in range(20))))
    with pytest.raises(InvalidArgument, match=f"grammar: takes at most {MAX_ARCS} words"):
        network(checked(commands, slots))


def _letters(number):
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}")


@pytest.mark.parametrize(
    ("phrase", "says"),
    [
        ("take {what}", "names the slot 'what'"),
        ("take {suit", "bracket"),
        ("take [{suit] now}", "bracket"),
        ("[take] [it]", "may not be left out"),
        ("", "1 to 200"),
        ("a" * 201, "1 to 200"),
        ("go <any>", "cannot be pronounced"),
        ("go; public <x> = *", "cannot be pronounced"),
        ("go (3)", "cannot be pronounced"),
        ("去北京", "cannot be pronounced"),
        ("go 🙂", "cannot be pronounced"),
        ("a" * 33, "at most 32"),
        ("year 2026", "up to 999"),
    ],
)
def test_phrases_that_are_refused(phrase, says):
    """The error names the phrase."""
    violation = refusal([Command("do", ("fine", phrase))], [SUITS])
    assert violation.field == "grammar.commands[0].phrases[1]"
    assert says in violation.description


@pytest.mark.parametrize(
    ("commands", "slots", "field"),
    [
        ([], [], "grammar.commands"),
        ([Command("do", ("go",))] * 101, [], "grammar.commands"),
        ([Command("do", ("go",) * 20)] * 26, [], "grammar.commands"),
        ([Command("do it", ("go",))], [], "grammar.commands[0].intent"),
        ([Command("do", ())], [], "grammar.commands[0].phrases"),
        ([Command("do", ("go",) * 21)], [], "grammar.commands[0].phrases"),
        ([Command("do", ("go",))], [SUITS] * 51, "grammar.slots"),
        ([Command("do", ("go",))], [SUITS, SUITS], "grammar.slots[1].name"),
        ([Command("do", ("go",))], [Slot("a b", numbers=(0, 1))], "grammar.slots[0].name"),
        ([Command("do", ("go",))], [Slot("n")], "grammar.slots[0].kind"),
        ([Command("do", ("go",))], [Slot("n", numbers=(-1, 1))], "grammar.slots[0].numbers.min"),
        ([Command("do", ("go",))], [Slot("n", numbers=(5, 4))], "grammar.slots[0].numbers.max"),
        ([Command("do", ("go",))], [Slot("n", numbers=(5, 1000))], "grammar.slots[0].numbers.max"),
        ([Command("do", ("go",))], [Slot("v", values=())], "grammar.slots[0].values.values"),
        ([Command("do", ("go",))], [Slot("v", values=(("a", ()),) * 501)], "grammar.slots[0].values.values"),
        (
            [Command("do", ("go",))],
            [Slot(name, values=(("a", ()),) * 334) for name in "abc"],
            "grammar.slots",
        ),
        ([Command("do", ("go",))], [Slot("v", values=(("", ()),))], "grammar.slots[0].values.values[0].value"),
        ([Command("do", ("go",))], [Slot("v", values=(("AC/DC", ()),))], "grammar.slots[0].values.values[0].value"),
        (
            [Command("do", ("go",))],
            [Slot("v", values=(("a", ("b",) * 11),))],
            "grammar.slots[0].values.values[0].spoken",
        ),
        (
            [Command("do", ("go",))],
            [Slot("v", values=(("a", ("b", "...")),))],
            "grammar.slots[0].values.values[0].spoken[1]",
        ),
    ],
)
def test_grammars_that_are_refused(commands, slots, field):
    """The error names the field that breaks a limit."""
    assert refusal(commands, slots).field == field
