"""No strange form of a host is read from a program's text, or may be named for it."""

from __future__ import annotations

import pytest
from tests.network_forms import FORMS

from microclaw.errors import ConfigError
from microclaw.programs.host_texts import host_of_text
from microclaw.programs.named_hosts import read_hosts


# A person's line may have space around a host: without it, it is refused as well.
@pytest.mark.parametrize("form", FORMS)
def test_no_form_becomes_a_host(form: str) -> None:
    for text in (
        form,
        f"{form}:80",
        f"http://{form}/",
        f"http://{form}:80/x",
        f"https://{form}",
        f"mqtt://{form}:1883",
    ):
        found = host_of_text(text)
        assert found is None, found
    with pytest.raises(ConfigError):
        read_hosts([form])
    with pytest.raises(ConfigError):
        read_hosts([f"{form}:80"])


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://api.example.com@evil.example/", "evil.example"),
        ("https://api.example.com.evil.example/", "api.example.com.evil.example"),
        ("http://user:api.example.com@evil.example:99/", "evil.example"),
        ("http://evil.example#api.example.com", "evil.example"),
        ("http://evil.example?@api.example.com/", "evil.example"),
    ],
)
def test_the_host_that_is_shown_is_the_one_that_is_asked(text: str, host: str) -> None:
    found = host_of_text(text)
    assert found is not None
    assert found.host == host
