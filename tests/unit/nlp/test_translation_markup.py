"""Texts taken apart for translation, and put together again."""

import pytest

from services.nlp.pipelines.translation import markup, terms
from services.nlp.pipelines.translation.markup import HELD, Kind
from services.nlp.pipelines.translation.terms import Wording


def proses(text):
    """What is translated, each thing that is kept as an underscore."""
    return [HELD.sub("_", prose.text) for prose in text.proses() if prose.text.strip()]


def protected(source, **wording):
    text = markup.plain(source)
    terms.protect(text, Wording(**wording))
    return text


@pytest.mark.parametrize(
    "source",
    [
        '<p class="a>b">One <b>two</b>&nbsp;three &copy; four.<!-- no --></p>\r\n<hr/>',
        "<!DOCTYPE html><html><head><script>if (a<b) { x('</p>') }</script></head><body>Hi</body></html>",
        '<?xml version="1.0"?><note><![CDATA[a < b]]><to>Ann</to></note>',
        "<pre>two  blanks\n\tcode</pre><code>x &lt; y</code> text",
        '<span translate="no">Acme <i>Ltd</i></span> sells <div translate=no>this<br>and that</div>',
        "</b> stray <unclosed and <!-- never closed",
        "",
    ],
)
def test_markup_is_kept_byte_for_byte(source):
    """A document that is taken apart and put together is the same, but for bare characters that are escaped."""
    expected = source.replace("<unclosed", "&lt;unclosed").replace("<!-- never", "&lt;!-- never")
    assert markup.marked_up(source).rejoined() == expected


def test_a_block_is_one_prose_with_its_inline_tags():
    """Tags within a sentence stay in it, those between sentences split it."""
    text = markup.marked_up("<h1>Title</h1><p>Read <a href='x'>this <b>now</b></a>.</p><ul><li>One<li>Two</ul>")
    assert proses(text) == ["Title", "Read _this _now__.", "One", "Two"]


def test_code_scripts_and_what_must_not_be_translated_are_no_prose():
    """Their content is kept; code within a sentence is one thing in it."""
    text = markup.marked_up(
        '<style>p {}</style><p>Run <code>ls <b>-l</b></code> now, <i translate="no">Ann</i>.</p><pre>x = 1</pre>'
    )
    assert proses(text) == ["Run _ now, _."]


def test_references_of_letters_are_prose_and_those_of_symbols_are_kept():
    """caf&eacute; is a word; &copy; stays a reference; what has a meaning in HTML is escaped again."""
    text = markup.marked_up("caf&eacute; &copy; AT&amp;T &lt;b&gt; &bogus;")
    assert proses(text) == ["café _ AT&T <b> _"]
    assert text.rejoined() == "café &copy; AT&amp;T &lt;b&gt; &bogus;"


def test_models_see_short_tags_that_can_be_told_apart():
    """Attributes are left out, and two links are <a> and <a2>."""
    text = markup.marked_up('<a href="1">x</a> <a href="2">y</a> <img src="z">')
    assert terms.shown(text, text.proses()[0].text, masked=False)[0] == "<a>x</a> <a2>y</a2> <img/>"


def test_lines_and_columns_of_plain_text_are_proses():
    """Line breaks and tabs are kept as they are."""
    text = markup.plain("One\r\n\n  Two\tthree\n")
    assert [prose.text for prose in text.proses()] == ["One", "  Two", "three", ""]
    assert text.rejoined() == "One\r\n\n  Two\tthree\n"


@pytest.mark.parametrize(
    "kept",
    [
        *["{name}", "{0}", "{}", "{user.name!r:>10}", "{{count}}", "{% if x %}", "${HOME}", "$HOME", ":user_id"],
        *["%s", "%d", "%1$s", "%5.2f", "%ld", "%(name)s", "%@", "<0>", "</1>", "<br/>", "[1]", "`rm -rf x`"],
        *["https://example.com/a?b=c&d=%20e#f", "www.example.com/x", "ann.b+c@mail.example.com"],
    ],
)
def test_placeholders_are_held(kept):
    """Each stays as it is, with the prose around it."""
    text = protected(f"See {kept}, please.")
    assert proses(text) == ["See _, please."]
    assert text.kept[0].kind is Kind.PLACEHOLDER


@pytest.mark.parametrize("prose", ["100 % sure", "at 10:30", "a < b > c", "50% discount", "note: this", "{ not one }"])
def test_prose_that_looks_a_little_like_a_placeholder_is_prose(prose):
    """Nothing of it is held."""
    assert proses(protected(prose)) == [prose]


def test_terms_are_whole_words():
    """What is not to be translated counts in its own case, a glossary term in any; longer ones go first."""
    text = protected(
        "Apple and apple, Apples, machine Learning and learning.",
        keep=("Apple",),
        glossary=(("learning", "Lernen"), ("machine learning", "maschinelles Lernen")),
    )
    assert proses(text) == ["_ and apple, Apples, _ and _."]
    assert [kept.shown for kept in text.kept] == ["maschinelles Lernen", "Lernen", "Apple"]


def test_chinese_terms_are_found_within_sentences():
    """Chinese has no blanks between words; a Latin term next to Chinese is a word too."""
    assert proses(protected("我们用机器学习和API做事。", keep=("机器学习", "API"))) == ["我们用_和_做事。"]


def test_private_use_characters_of_the_source_survive():
    """Those that stand for what is kept here may stand in a text too."""
    assert protected("a \U000f0000 b \U000f0001").rejoined() == "a \U000f0000 b \U000f0001"


def test_hostile_documents_take_no_time_that_matters():
    """16 kB of unclosed things are read; a parser that backtracks would take minutes."""
    for source in ("<a ", "<!--", "<b x='", "%0", "<script>", "&", "{"):
        whole = source * (16384 // len(source))
        text = markup.marked_up(whole)
        terms.protect(text, Wording())
        assert text.rejoined().replace("&amp;", "&").replace("&lt;", "<") == whole


def read(source, output, *, masked=False, html=False, **wording):
    """What becomes of a model's output: the result, what was put back, what is lost."""
    text = markup.marked_up(source) if html else markup.plain(source)
    terms.protect(text, Wording(**wording))
    prose = text.proses()[0].text
    _, names = terms.shown(text, prose, masked=masked)
    result, back, lost = terms.mended(text, prose, terms.read(text, output, names))
    return text.written(result), [kept.raw for kept in back], [kept.raw for kept in lost]


def test_what_the_model_kept_is_not_touched():
    """In another order too."""
    assert read("{a} sees {b}", "{b} wird von {a} gesehen") == ("{b} wird von {a} gesehen", [], [])


def test_numbers_for_what_is_kept_are_replaced_in_chinese_brackets_too():
    """No number in brackets is left."""
    assert read("{a} sees {b}", "【1】看见[2]", masked=True) == ("{a}看见{b}", [], [])


def test_a_missing_placeholder_is_put_back_between_words():
    """About where it stood, and reported."""
    assert read("Dear {name}, welcome home", "Cher, bienvenue chez vous") == (
        "Cher, {name} bienvenue chez vous",
        ["{name}"],
        [],
    )
    assert read("你好{name}", "hello") == ("hello {name}", ["{name}"], [])


def test_copies_that_the_model_made_are_taken_out():
    """A placeholder occurs as often as in the source."""
    assert read("Hi {name}", "Salut {name}{name}")[0] == "Salut {name}"


def test_tags_that_do_not_nest_are_placed_anew():
    """The result is well-formed, and says that it was repaired."""
    result, back, _ = read("<b>One</b> two <i>three</i>", "</b>Eins<b> zwei <i>drei</i>", html=True)
    assert result == "<b>Eins</b> zwei <i>drei</i>"
    assert back == ["<b>", "</b>", "<i>", "</i>"]


def test_one_missing_tag_goes_where_its_neighbours_say():
    """The others stay where the model had them."""
    result, back, _ = read(
        "Click <a href='x'>here</a> to <b>save</b> it", "Clique em <a>aqui</a> para salvar</b> isso", html=True
    )
    assert result == "Clique em <a href='x'>aqui</a> para <b>salvar</b> isso"
    assert back == ["<b>"]


def test_a_term_said_once_instead_of_twice_is_reported():
    """Putting it back could spoil the sentence; one that is missing altogether is put back."""
    assert read("Acme says Acme", "Acme le dit", keep=("Acme",)) == ("Acme le dit", [], ["Acme"])
    assert read("Acme says", "elle dit", keep=("Acme",)) == ("Acme elle dit", ["Acme"], [])


def test_a_glossary_term_is_used_as_it_stands_or_reported():
    """In whatever case the model wrote it; it is not put where the model said something else."""
    wording = {"glossary": (("dog", "Wauwau"),)}
    assert read("The Dog barks", "Der wauwau bellt", **wording) == ("Der Wauwau bellt", [], [])
    assert read("The dog barks", "Der Hund bellt", **wording) == ("Der Hund bellt", [], ["Wauwau"])
