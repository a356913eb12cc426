"""JSON that is read strictly."""

from __future__ import annotations

import json

import pytest

from microclaw.host.operations.validation import read_json


@pytest.mark.parametrize(
    "text",
    [
        "[" * 120_000,
        '{"a": "\\n", "b": ' + "[" * 500 + "]" * 500 + ', "c": "x"}',
        '{"a": "\\"", "b": ' + "[" * 500 + "]" * 500 + ', "c": "\\""}',
        '["' + '\\"' * 100_000,
        "Infinity",
        "[-Infinity]",
        '{"a": NaN}',
        "1e400",
        "9" * 5000,
        '{"a": 1, "a": 2}',
    ],
)
def test_json_that_is_none_or_has_no_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its text is the reader's own
        read_json(text)


def test_brackets_in_a_text_are_no_nesting() -> None:
    text = "[" * 500 + '\\"' + "{" * 500
    assert read_json(json.dumps({"a": text, "b": [1.5, None]})) == {"a": text, "b": [1.5, None]}
