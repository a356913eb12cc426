from __future__ import annotations

import pytest
from tests.wire.conftest import CAPTURED, CapturedFrame

from microclaw.errors import (
    AppExists,
    AppNotFound,
    CallRejected,
    InvalidModule,
    MicroclawError,
    ProtocolError,
    TooManyApps,
)
from microclaw.wire.wasmachine import answers
from microclaw.wire.wasmachine.answers import (
    AppletInfo,
    encode_applet,
    encode_applets,
    encode_error,
    raise_for_status,
    read_applets,
)
from microclaw.wire.wasmachine.attributes import AttributeContainer, Generation
from microclaw.wire.wasmachine.frame import HEADER
from microclaw.wire.wasmachine.request import CoapCode, Response

ERRORS: dict[str, type[MicroclawError]] = {
    answers.ALREADY_INSTALLED: AppExists,
    answers.TOO_MANY_APPS: TooManyApps,
    answers.INVALID_FORMAT: InvalidModule,
    answers.INVALID_VERSION: InvalidModule,
    answers.INVALID_MODULE_TYPE: InvalidModule,
    answers.INVALID_APPLET_ACTION: CallRejected,
    answers.UNINSTALL_NOT_FOUND: AppNotFound,
    answers.QUERY_NOT_FOUND: AppNotFound,
    answers.REQUEST_INVALID_NAME: AppNotFound,
}
LISTED = {
    "query all: none installed": (),
    "query all: one app": (AppletInfo("echo", 16384),),
    "query one": (AppletInfo("echo", 16384),),
    "query all: three apps": (AppletInfo("tiny2", 8192), AppletInfo("tiny1", 8192), AppletInfo("echo", 16384)),
    "query all: heap raised": (AppletInfo("tiny2", 256), AppletInfo("tiny1", 8192), AppletInfo("echo", 16384)),
    "query all: none left": (),
}


def responses() -> list[tuple[CapturedFrame, Response]]:
    return [(c, Response.decode(c.raw[HEADER.size :])) for c in CAPTURED if c.direction == "<" and c.raw[3] == 3]


def generation(captured: CapturedFrame) -> Generation:
    return Generation.NEW if "1.3.3" in captured.runtime else Generation.OLD


def test_captured_lists_and_errors_are_read_and_answered_as_the_manager_answers() -> None:
    lists = set()
    errors = set()
    for captured, response in responses():
        apps = LISTED.get(captured.case)
        if apps is not None:
            assert read_applets(response) == apps
            one = captured.case == "query one"
            if one:
                encoded = encode_applet(apps[0], response.mid, generation(captured))
            else:
                encoded = None
            assert (encoded or encode_applets(apps, response.mid, generation(captured))) == response
            lists.add(captured.case)
        elif response.status == CoapCode.INTERNAL_SERVER_ERROR:
            text = answers.error_text(response)
            assert text is not None
            assert encode_error(text, response.mid, generation(captured)) == response
            errors.add(text)
    assert (lists, errors) == (set(LISTED), set(ERRORS) - {answers.INVALID_VERSION})


def test_each_firmware_error_is_its_own_exception() -> None:
    for text, error in ERRORS.items():
        for made in Generation:
            with pytest.raises(error) as caught:
                raise_for_status(encode_error(text, 1, made), "blink")
            assert type(caught.value) is error or text == answers.INVALID_APPLET_ACTION
            if caught.type in (AppExists, AppNotFound):
                assert "'blink'" in str(caught.value)
                assert caught.value.next_step is not None


WRONG_LISTS: tuple[dict[str, int | str], ...] = (
    {"num": -1}, {"num": 10_000}, {"num": "one"}, {"num": 1}, {"num": 1, "applet1": 5, "heap1": 1}, {"name": "x"},
)  # fmt: skip


def test_list_that_does_not_add_up_is_refused() -> None:
    for values in WRONG_LISTS:
        body = AttributeContainer.of(answers.APPLETS_TAG, values).encode(Generation.NEW)
        with pytest.raises(ProtocolError):
            read_applets(Response(CoapCode.CONTENT, 1, body))
