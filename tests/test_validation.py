"""Faults of values in plain words, whatever library found them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from microclaw.validation import read_json, validation_message


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=5)] = "a"
    count: Annotated[int, Field(ge=1, le=9)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    kind: Literal["run", "skip"] = "run"
    code: Annotated[str, Field(pattern=r"^\d+$")] = "1"
    rest: dict[str, Any] = {}
    many: Annotated[list[int], Field(min_length=2)] = [1, 2]
    sure: bool = False

    @field_validator("code")
    @classmethod
    def _no_nine(cls, code: str) -> str:
        if code == "9":
            raise ValueError("nine is taken.")
        return code


class Needed(BaseModel):
    name: str


def told(model: type[BaseModel], value: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(value)
    (error,) = refused.value.errors()
    return validation_message(".".join(str(part) for part in error["loc"]), error)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"name": ""}, "name is empty"),
        ({"name": "abcdef"}, "name has 6 characters, at most 5"),
        ({"name": 4}, "name is a text, not 4"),
        ({"count": "four"}, "count is a whole number, not 'four'"),
        ({"count": 1.5}, "count is a whole number, not 1.5"),
        ({"count": None}, "count is a whole number"),
        ({"count": 0}, "count is at least 1, not 0"),
        ({"count": 10}, "count is at most 9, not 10"),
        ({"share": 0}, "share is more than 0, not 0"),
        ({"share": 1}, "share is less than 1, not 1"),
        ({"share": "x"}, "share is a number, not 'x'"),
        ({"kind": "moon"}, "kind is 'run' or 'skip', not 'moon'"),
        ({"code": "x"}, "code has the wrong form: 'x'"),
        ({"code": "9"}, "code: nine is taken"),
        ({"rest": 4}, "rest is an object, not 4"),
        ({"many": [1]}, "many is too short: at least 2"),
        ({"sure": "x"}, "sure is true or false, not 'x'"),
        ({"moon": 1}, "moon is no field of this request"),
        ({"name": "x" * 99}, "name has 99 characters, at most 5"),
        ({"kind": "x" * 99}, f"kind is 'run' or 'skip', not '{'x' * 59}…"),
    ],
)
def test_each_kind_of_fault_has_its_words(value: dict[str, Any], text: str) -> None:
    assert told(Asked, value) == text


def test_what_is_missing_is_named() -> None:
    assert told(Needed, {}) == "name is missing"


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
