"""`voice fetch-model` where the models' server is not reached."""

from __future__ import annotations

from tests.cli.conftest import Run


def test_a_hub_that_a_proxy_does_not_reach_is_an_error(run: Run) -> None:
    run("config", "set", "proxy.url", "http://127.0.0.1:9")  # the port of "discard": nobody listens
    ran = run("voice", "fetch-model")
    assert ran.code == 1
