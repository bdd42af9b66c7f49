"""Pages of what a service lists by name: a token is the last name of the page before."""

from __future__ import annotations

import base64
import binascii
import re

from services.mesh import errors

_MAX_TOKEN_LETTERS = 512


def token_after(name: str) -> str:
    """The token of the page that begins after a name."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def name_before(token: str, names: re.Pattern[str], method: str) -> str:
    """The name after which a page begins; "" for the first.

    names: what names are like. method: by which the tokens are given. Raises InvalidArgument for a token that is none.
    """
    if not token:
        return ""
    try:
        name = base64.b64decode(token[:_MAX_TOKEN_LETTERS], b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        name = ""
    if not names.fullmatch(name):
        raise errors.InvalidArgument.field("page_token", f"is none that {method} gave")
    return name
