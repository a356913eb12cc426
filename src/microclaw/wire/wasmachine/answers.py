"""The application manager's answers: the list of apps, and each error text as its own exception. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from microclaw import errors
from microclaw.errors import CallRejected, MicroclawError, ProtocolError, TooManyApps
from microclaw.wire.wasmachine.attributes import AttributeContainer, AttributeValue, Generation
from microclaw.wire.wasmachine.request import QUERY_RECEIVER, CoapCode, Response

APPLETS_TAG: Final = "Applets Info"
ERROR_KEY: Final = "error message"
MAX_LISTED_APPS: Final = 256

# Texts of the application manager in WAMR 1.1 to 2.2, as captured.
ALREADY_INSTALLED: Final = "Install WASM app failed: app already installed."
TOO_MANY_APPS: Final = "Install Applet failed: exceed max app installations."
INVALID_FORMAT: Final = "Install WASM app failed: invalid file format."
INVALID_VERSION: Final = "Install WASM app failed: invalid WASM version."
INVALID_MODULE_TYPE: Final = "Applet Management failed: invalid module type."
INVALID_APPLET_ACTION: Final = "Invalid request of applet: invalid action"
UNINSTALL_NOT_FOUND: Final = "Uninstall WASM app failed: no app found."
QUERY_NOT_FOUND: Final = "Query Applet failed: the app is not found."
REQUEST_INVALID_NAME: Final = "Send request to applet failed: invalid applet name"


class AppletInfo(Struct, frozen=True):
    name: str
    heap_bytes: int


def encode_applets(apps: Iterable[AppletInfo], mid: int, generation: Generation) -> Response:
    """Encode the answer to a query of all apps, padded as WAMR pads it."""
    listed = tuple(apps)
    values: dict[str, AttributeValue] = {"num": len(listed)}
    for number, app in enumerate(listed, start=1):
        values |= {f"applet{number}": app.name, f"heap{number}": app.heap_bytes}
    return _query_answer(values, mid, generation)


def encode_applet(app: AppletInfo, mid: int, generation: Generation) -> Response:
    """Encode the answer to a query of one app."""
    return _query_answer({"name": app.name, "heap": app.heap_bytes}, mid, generation)


def encode_error(text: str, mid: int, generation: Generation) -> Response:
    body = AttributeContainer.of("", {ERROR_KEY: text}).encode(generation, as_device=True)
    return Response(CoapCode.INTERNAL_SERVER_ERROR, mid, body)


def read_applets(response: Response) -> tuple[AppletInfo, ...]:
    """Read the apps in an answer to either query.

    Raises the errors of `raise_for_status`, ProtocolError for another body.
    """
    raise_for_status(response)
    container = AttributeContainer.decode(response.body)
    if container.tag != APPLETS_TAG:
        raise ProtocolError(f"an answer tagged {container.tag!r}, expected {APPLETS_TAG!r}")
    count = container.get("num")
    if count is None:
        return (_applet(container, "name", "heap"),)
    if not isinstance(count, int) or not 0 <= count <= MAX_LISTED_APPS:
        raise ProtocolError(f"an answer that lists {count!r} apps, at most {MAX_LISTED_APPS} are possible")
    return tuple(_applet(container, f"applet{i}", f"heap{i}") for i in range(1, count + 1))


def error_text(response: Response) -> str | None:
    """Return the manager's own text in an error answer, or None."""
    if not response.body:
        return None
    text = AttributeContainer.decode(response.body).get(ERROR_KEY)
    return text if isinstance(text, str) else None


def raise_for_status(response: Response, name: str | None = None) -> None:
    """Each firmware error as its exception with the next step; `name` is the app that was asked about."""
    if response.status < CoapCode.BAD_REQUEST:
        return
    text = error_text(response) or f"status {response.status} without a text"
    for parts, error, form, next_step in _ERRORS:
        if any(part in text for part in parts):
            message = form.format(app=f"'{name}'" if name else "the app", text=text)
            raise error(message, next_step=next_step, foreign="{text}" in form)
    raise CallRejected(f"the device answered with status {response.status}: {text}", foreign=True)


_ERRORS: Final[tuple[tuple[tuple[str, ...], type[MicroclawError], str, str], ...]] = (
    (("already installed",), errors.AppExists,
     "{app} is already installed on the device", "remove it first, or use another name"),
    (("exceed max app",), TooManyApps, "the device holds as many apps as it can", "remove an app: microclaw app list"),
    (("no app found", "app is not found", "invalid applet name"), errors.AppNotFound,
     "{app} is not installed on the device", "see what is: microclaw app list"),
    (("invalid file format", "invalid WASM version", "invalid module type"), errors.InvalidModule,
     "the device refused the image: {text}", "build it again from its source"),
    (("Install", "Uninstall", "Applet"), errors.DeployRejected,
     "the device answered: {text}", "see its console: microclaw logs"),
)  # fmt: skip


def _query_answer(values: Mapping[str, AttributeValue], mid: int, generation: Generation) -> Response:
    body = AttributeContainer.of(APPLETS_TAG, values).encode(generation, as_device=True)
    return Response(CoapCode.CONTENT, mid, body, receiver=QUERY_RECEIVER)


def _applet(container: AttributeContainer, name_key: str, heap_key: str) -> AppletInfo:
    name = container.get(name_key)
    heap = container.get(heap_key)
    if not isinstance(name, str) or not isinstance(heap, int):
        raise ProtocolError(f"an answer about apps with {name_key}={name!r}, {heap_key}={heap!r}")
    return AppletInfo(name, heap)
