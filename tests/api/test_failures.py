"""Errors as HTTP answers."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import FastAPI
from starlette.testclient import TestClient

from microclaw import errors
from microclaw.api.failures import STATUS_BY_CODE, add_failure_handlers
from microclaw.backup import errors as backup_errors

_NEVER_ANSWERED = {"no_host"}  # the command line's own
_OF_THE_TREE = {errors.__name__, backup_errors.__name__}


def test_every_error_of_the_tree_has_its_status() -> None:
    codes = {error.code for error in _all(errors.MicroclawError) if error.__module__ in _OF_THE_TREE}
    assert codes - _NEVER_ANSWERED <= set(STATUS_BY_CODE)


def test_a_browser_is_led_to_the_start_page_and_a_program_gets_json() -> None:
    app = FastAPI()
    add_failure_handlers(app)
    with TestClient(app) as client:
        page = client.get("/nonsense", headers={"Accept": "text/html,*/*;q=0.8"})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert '<a href="/">' in page.text
        assert client.get("/nonsense").json()["error"]["code"] == "not_found"


def test_a_refused_program_is_the_callers_error() -> None:
    assert STATUS_BY_CODE[errors.DeployRejected.code] == 409


def _all(root: type[errors.MicroclawError]) -> Iterator[type[errors.MicroclawError]]:
    yield root
    for below in root.__subclasses__():
        yield from _all(below)
