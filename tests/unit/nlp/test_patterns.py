"""What has a form of its own in a text."""

import pytest

from services.nlp.pipelines.analysis.patterns import find


def found(text, language_code="en", tag=""):
    """Kind and words of each."""
    return [(each.kind, text[each.begin : each.end]) for each in find(text, language_code, tag)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Write to jane.doe+x@mail.example.co.uk.", "jane.doe+x@mail.example.co.uk"),
        ("邮箱zhang_3@example.cn。", "zhang_3@example.cn"),
        ("<a@b.io>", "a@b.io"),
    ],
)
def test_mail_addresses(text, address):
    """Also without blanks around them, and without the full stop after them."""
    assert found(text) == [("EMAIL", address)]


@pytest.mark.parametrize("text", ["a@b", "@home.com", "me@-x.com", "a@b.c", "x@1.2.3.4"])
def test_what_is_no_mail_address(text):
    """No domain with a top level of letters."""
    assert [kind for kind, _ in found(text) if kind == "EMAIL"] == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("See https://example.com/a_(b)?q=1&r=2#x.", "https://example.com/a_(b)?q=1&r=2#x"),
        ("(www.example.org/x)", "www.example.org/x"),
        ("网址：http://www.example.cn，谢谢", "http://www.example.cn"),
        ('"HTTPS://EXAMPLE.COM/", he said', "HTTPS://EXAMPLE.COM/"),
    ],
)
def test_web_addresses(text, address):
    """Without the bracket, quote or punctuation that follows."""
    assert found(text) == [("URL", address)]


@pytest.mark.parametrize("text", ["www....", "http://)))", "Type www. first"])
def test_the_beginning_of_an_address_is_none(text):
    """Something has to follow it."""
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "language", "tag", "number"),
    [
        ("Call (415) 555-2671 now", "en", "", "(415) 555-2671"),
        ("Call 020 7946 0958 now", "en", "en-GB", "020 7946 0958"),
        ("请致电13812345678或", "zh", "", "13812345678"),
        ("座机010-62781234。", "zh", "", "010-62781234"),
        ("+86 138 1234 5678", "", "", "+86 138 1234 5678"),
        ("+44 20 7946 0958", "zh", "zh-Hans", "+44 20 7946 0958"),
    ],
)
def test_telephone_numbers(text, language, tag, number):
    """International ones everywhere, others by the numbering plan of the language's or the tag's country."""
    assert found(text, language, tag) == [("PHONE_NUMBER", number)]


@pytest.mark.parametrize("text", ["Order 2023112300012345", "Version 1.2.3", "192.168.1.1", "12345", "13812345678"])
def test_other_digits_are_nothing(text):
    """Order numbers, versions, network addresses, and a Chinese number in an English text."""
    assert found(text) == []


@pytest.mark.parametrize(
    "number",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "3782 822463 10005",
        "378282246310005",
        "6212345678901232",
    ],
)
def test_card_numbers(number):
    """With blanks, hyphens or neither, whatever digits follow apart."""
    assert found(f"Card {number} 123, thanks", "") == [("CARD_NUMBER", number)]
    assert found(f"卡号{number}。", "zh") == [("CARD_NUMBER", number)]


@pytest.mark.parametrize("number", ["4111 1111 1111 1112", "1234567812345670", "4111-1111 1111-1111", "4111111111111"])
def test_what_is_no_card_number(number):
    """A wrong check digit, no issuer, a form nobody writes."""
    assert [kind for kind, _ in found(f"Card {number}") if kind == "CARD_NUMBER"] == []


@pytest.mark.parametrize(
    "amount",
    [
        *("$1,200.50", "US$ 3 million", "€5", "1.200,50 €", "£3bn", "20 dollars", "300 USD", "CHF 20", "₹1,00"),
        *("¥300", "￥99.9", "300元", "1.5万元", "3万亿元", "20美元", "50块钱", "1000日元"),
    ],
)
def test_amounts_of_money(amount):
    """Sign or name, before or after, with a scale or without."""
    assert found(f"It is {amount} now", "") == [("MONEY", amount)]
    assert found(f"共{amount}，", "") == [("MONEY", amount)]


@pytest.mark.parametrize("text", ["30元素", "A$AP", "5 pounders", "100 people", "$", "元"])
def test_what_is_no_money(text):
    """Elements, names, and signs without a number."""
    assert found(text) == []


@pytest.mark.parametrize(
    "day", ["2024-05-01", "2024-05-01T10:00:00Z", "2024/5/1", "5/1/2024", "31/12/2024", "1.5.2024", "5/1/24"]
)
def test_dates_in_digits(day):
    """Year first or last, day or month first."""
    assert found(f"On {day}.") == [("DATE", day)]


@pytest.mark.parametrize("day", ["2024年5月1日", "2024年5月", "5月1号"])
def test_chinese_dates(day):
    """With a year or without."""
    assert found(f"在{day}举行", "zh") == [("DATE", day)]


@pytest.mark.parametrize("text", ["2024-13-45", "99/99/2024", "2024-02-30", "1/2/3", "13月45日"])
def test_days_that_no_calendar_has_are_no_dates(text):
    """Whichever of day and month comes first."""
    assert found(text) == []


def test_the_longest_of_what_overlaps():
    """A date or a number within an address belongs to the address."""
    text = "https://example.com/2024-05-01/13812345678?to=a@b.com"
    assert found(text, "zh") == [("URL", text)]


@pytest.mark.parametrize(
    "piece", ["a", "a.b@", "$1", "1元", "1 ", "12345 ", "1,111", "www.a)", "4111 ", "http://", "1.1.1.", "US$ "]
)
def test_the_longest_text_of_a_kind_is_searched(piece):
    """No pattern backtracks without a bound: 8 KiB made to trouble one still end."""
    text = (piece * 8192)[:8192]
    ends = [each.end for each in find(text, "en")]
    assert ends == sorted(ends)
