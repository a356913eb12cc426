"""The declarations of all acts hold together, and a request of one says what its route reads."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import pytest

from microclaw.agent.knowledge import operations as knowledge
from microclaw.agent.schedules import operations as schedules
from microclaw.errors import ConfigError
from microclaw.host.auth import operations as people
from microclaw.host.operations.operation import Operation, load, operation
from microclaw.host.operations.operation_modules import MODULES
from microclaw.host.operations.result import Result
from microclaw.programs.changes import operations as programs
from microclaw.programs.changes.results import Removed

ACTS = load()


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
def test_an_act_can_be_called_and_says_what_it_does_and_takes(act: Operation[..., Any, Any]) -> None:
    assert act.noun in MODULES
    assert act.http or act.tool or act.here
    assert act.help.endswith(".")
    assert all(one.meta.description for one in act.parameters if not one.option.hidden and act.command.is_derived)
    assert act.in_path <= {one.name for one in act.parameters}
    form = Result if act.command.is_derived else msgspec.Struct
    assert act.result == dict[str, Any] or issubclass(act.result, form)
    assert msgspec.json.schema(act.result)


def test_a_declaration_has_few_fields() -> None:
    assert len(fields(operation)) <= 14


def test_values_go_into_path_query_and_body() -> None:
    assert schedules.pause.request({"schedule": 3}) == ("/v1/schedules/3/pause", {}, {})
    act = {"when": "at 7", "do": "x"}
    assert schedules.add.request({**act, "tool": None}) == ("/v1/schedules", {}, act)


def test_what_is_no_name_stands_in_no_path_and_what_does_not_fit_is_said_in_a_line() -> None:
    for name in ("", " ", "a/b", None):
        for values in ({"name": name}, {"nmae": "x"}, {}):
            with pytest.raises(ConfigError):
                knowledge.show_session.request(values)
    for wrong in ({}, {"schedule": 0}, {"schedule": True}, {"schedule": 1, "more": 2}, {"schedule": 2**70}):
        assert "\n" not in (schedules.pause.check(wrong) or "\n")


def test_an_act_is_named_without_its_secret() -> None:
    for act in (people.pair, people.set_password):
        assert "hidden" not in act.asked({"name": "ada", "code": "hidden", "password": "hidden"})


def test_an_act_with_a_view_has_the_parameters_of_its_own_function_and_the_result_of_the_view() -> None:
    act = programs.uninstall
    assert act.result is Removed
    assert [parameter.name for parameter in act.parameters] == ["device", "name", "when_back"]
    assert act.help == act.own.__doc__
    assert act.own is not act.run
    assert schedules.pause.own is schedules.pause.run
