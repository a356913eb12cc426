"""One member of a settings file changes; every other byte stays."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.errors import ConfigError
from microclaw.mcp.json_text import read_member, remove_member, set_member

KEY = ("mcpServers", "microclaw")
VALUE = {"command": "/bin/microclaw", "args": ["mcp"]}

FILES = [
    '{\n  "mcpServers": {\n    "other": {"command": "x"}\n  },\n  "z": 1\n}\n',
    '{\n  // mine\n  "mcpServers": {\n    "other": {"command": "x"} // keep\n  }\n}\n',
    '{\n\t"a": [1, 2],\n\t"mcpServers": {\n\t\t"other": {}\n\t}\n}',
    '{"mcpServers": {"other": {"command": "x"}}, "b": "\\u00e9{}"}',
    '{\r\n  "mcpServers": {\r\n    "other": {}\r\n  }\r\n}\r\n',
    '{\n  "theme": "dark" /* why */,\n  "mcpServers": {\n    "a": {},\n    /* last */\n    "b": {}\n  }\n}\n',
]


@pytest.mark.parametrize("text", FILES)
def test_what_is_put_in_and_taken_out_again_leaves_the_file_as_it_was(text: str) -> None:
    changed = set_member(text, KEY, VALUE)
    assert read_member(changed, KEY) == VALUE
    assert remove_member(changed, KEY) == text


@pytest.mark.parametrize("text", FILES)
def test_every_line_that_was_there_is_still_there(text: str) -> None:
    changed = set_member(text, KEY, VALUE)
    rest = changed
    for word in re.findall(r"[^\s,{}]+", text):
        assert word in rest
        rest = rest[rest.index(word) + len(word) :]


def test_an_entry_that_is_there_is_replaced_in_its_place() -> None:
    text = '{\n  "mcpServers": {\n    "microclaw": {"command": "old"}, // mine\n    "other": {}\n  }\n}\n'
    changed = set_member(text, KEY, VALUE)
    assert "old" not in changed
    assert changed.index("microclaw") < changed.index("// mine") < changed.index("other")
    assert set_member(changed, KEY, VALUE) == changed


@pytest.mark.parametrize("text", ["", "\n", "{}", "{ }\n", '{"a": 1}', '{"mcpServers": {}}', '{"mcpServers": {},}'])
def test_what_is_missing_on_the_way_is_made(text: str) -> None:
    assert read_member(set_member(text, KEY, VALUE), KEY) == VALUE


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', 3),
        ("{\n", 2),
        ('{\n"a": tru\n}', 2),
        ("{'a': 1}", 1),
        ('{"a": 1} {"b": 2}', 1),
        ("[]", 1),
        ('{\n\n"mcpServers": []\n}', 3),
        ('{"a": "\n"}', 1),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", 1),
        ('{"a": 01}', 1),
    ],
)
def test_what_is_no_json_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"line {line},") as caught:
        set_member(text, KEY, VALUE)
    assert caught.value.next_step


def test_what_is_not_there_is_not_removed() -> None:
    for text in ("", "{}", '{"mcpServers": {"other": 1}}', '{"other": 1}'):
        assert remove_member(text, KEY) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=4), st.sampled_from([None, 0, 2, "\t"]))
def test_any_settings_keep_their_other_values(document: dict[str, Any], indent: Any) -> None:
    document.pop("mcpServers", None)
    text = json.dumps(document, indent=indent)
    assert json.loads(set_member(text, KEY, VALUE)) == {**document, "mcpServers": {"microclaw": VALUE}}
    with_others = {**document, "mcpServers": {"microclaw": 1, "other": [{}]}, "z": 0}
    removed = remove_member(json.dumps(with_others, indent=indent), KEY)
    assert json.loads(removed) == {**document, "mcpServers": {"other": [{}]}, "z": 0}
