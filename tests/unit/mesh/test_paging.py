"""Pages of what is listed by name."""

import re

import pytest

from services.mesh import errors
from services.mesh.paging import name_before, token_after

NAMES = re.compile("[a-z-]{1,128}")


@pytest.mark.parametrize("name", ["a", "qwen-coder", "z" * 128])
def test_a_token_is_the_name_before_it(name):
    """Whatever the name; none is the first page."""
    assert name_before(token_after(name), NAMES, "ListThings") == name
    assert name_before("", NAMES, "ListThings") == ""


@pytest.mark.parametrize("token", ["?", "Lw==", "QQ==", "gA==", token_after("a" * 129), "A" * 10_000])
def test_what_is_no_token_is_told(token):
    """Not base64, not a name, not text, and much too long."""
    with pytest.raises(errors.InvalidArgument, match="page_token: is none that ListThings gave"):
        name_before(token, NAMES, "ListThings")
