"""WAMR's application manager: installs, removes, queries and addresses apps, with the texts of the real one.

It does no IO: `receive` takes what the link brought, `send` is called with a frame's type and payload. Requests to an
app are passed on at once; requests to the manager go through its queue, which `serve` works off on a thread of its own.
As on the device, an app that never gives up its thread therefore hangs the manager when it is uninstalled, and
everything behind it in the queue, while requests to other apps still pass.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
from collections.abc import Callable
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from microclaw.errors import AppExists, InvalidModule, ProtocolError, TooManyApps
from microclaw.virtual.board import Board
from microclaw.virtual.firmware.receiver import (
    InstallRequest,
    RefusedInstall,
    RequestReceiver,
    UnexpectedType,
    unpack_request,
    url_number,
    url_tail,
    url_value,
)
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.network.reach import Connect
from microclaw.virtual.nodes.ledc import Ledc
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.firmware_boot import FirmwareBoot
from microclaw.wire.wasmachine import answers
from microclaw.wire.wasmachine.attributes import Generation
from microclaw.wire.wasmachine.frame import MessageType
from microclaw.wire.wasmachine.request import (
    DEFAULT_HEAP_BYTES,
    DEFAULT_TIMERS,
    ENDED_EVENT,
    FORMAT_RAW,
    MAX_NAME_BYTES,
    MAX_TIMERS,
    MIN_HEAP_BYTES,
    QUERY_RECEIVER,
    CoapCode,
    RequestAction,
    Response,
    WasmachineRequest,
)

QUEUE_DEPTH = 50
"""DEFAULT_QUEUE_LENGTH of WAMR's bh_queue; a request that comes while it is full is lost without an answer."""
HOST_ID = QUERY_RECEIVER
"""ID_HOST: how apps see the sender of a host's request."""
PAGE_CLIENT_ID = -4
"""How apps see the sender of a request of the canned network's clients; it is no app's number."""
PAGES_URL = "web"
MAX_PAGE_REQUESTS = 64
PAGE_ANSWER_MS = 10_000.0
"""A later answer reaches nobody: the client of the page has given up."""
MAX_HOST_EVENTS = 64
JOIN_S = 1.0
DEATH_S = 1.0
_MAX_EVENT_URL = 255
MAX_URL_CHARS = 16_383
"""However they are encoded, the length fits into the head."""
_WASM_TYPES = ("", "wasm")
_REFUSALS = {TooManyApps: answers.TOO_MANY_APPS, AppExists: answers.ALREADY_INSTALLED}

_log = logging.getLogger(__name__)


class _PageRequest(Struct, frozen=True):
    on_answer: Callable[[bytes], None]
    until_ms: float


class AppManager:
    """One boot of the manager: its parser's state, its apps and its queue die with it.

    `connect` is how its apps reach others, if they may. `on_trouble` is called in an app's thread when it trapped or
    exited, and when its main is over; `on_uninstalled` with the name.
    """

    def __init__(
        self, board: Board, send: Callable[[MessageType, bytes], None], *, connect: Connect | None = None
    ) -> None:
        firmware = board.profile.firmware
        self.board = board
        self._generation = Generation(firmware.attribute_generation)
        self._boot = FirmwareBoot(board, Ledc(board), self._generation, connect)
        self.on_trouble: Callable[[App], None] = lambda _: None
        self.on_uninstalled: Callable[[str], None] = lambda _: None
        self._max_apps = firmware.max_apps
        self._send = send
        self._receiver = RequestReceiver(max_module_bytes=firmware.max_module_bytes)
        self._queue: queue.Queue[WasmachineRequest | None] = queue.Queue(QUEUE_DEPTH)
        self._lock = threading.Lock()
        self._apps: dict[int, App] = {}
        self._last_id = 0
        self._host_events: set[str] = set()
        self._page_requests: dict[int, _PageRequest] = {}
        self._page_mids = itertools.count(1)
        if isinstance(board.network, CannedNetwork):
            board.network.ask_app = self.ask_page
        self._closed = False
        # Held while an app is loaded: by the queue's thread or by `install`.
        self._changing = threading.RLock()

    def receive(self, data: bytes) -> None:
        """Handle bytes from the link, whatever they are."""
        self._receiver.receive(data)
        while (arrival := self._receiver.next_arrival()) is not None:
            match arrival:
                case InstallRequest():
                    self._enqueue(arrival)
                case WasmachineRequest():
                    self._dispatch(arrival)
                case RefusedInstall(mid=mid, text=text):
                    self._refuse(mid, text)
                case UnexpectedType(type=number):
                    self.board.print_line(f"unexpected host msg type: {number}")
                case _:
                    assert_never(arrival)

    def serve(self) -> None:
        """Work off the queue until `close`; runs on the manager's own thread."""
        while (request := self._queue.get()) is not None:
            try:
                self._handle(request)
            except Exception:
                # A defect of ours must not leave the board without its manager.
                _log.exception("request %d for %s failed", request.mid, request.url)
                self._refuse(request.mid, "Applet Management failed: internal error of the virtual board.")
            if self._closed:
                return

    def close(self) -> None:
        """Send and handle nothing more, and kill every app: the power is gone."""
        with self._lock:
            self._closed = True
            apps = list(self._apps.values())
            self._apps.clear()
        # If the queue is full, serve() sees _closed after its present request.
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        for app in apps:
            app.interrupt()
        # On the virtual clock tasks take turns: one of them, crashing the board, must not wait for the others.
        if not (self.board.clock.is_virtual and any(app.is_current for app in apps)):
            for app in apps:
                app.join(DEATH_S)

    def load(
        self, name: str, wasm: bytes, *, heap_bytes: int = DEFAULT_HEAP_BYTES, timers: int = DEFAULT_TIMERS
    ) -> App:
        """Make an app, neither listed nor started yet. InvalidModule's message is the firmware's text."""
        from microclaw.virtual.firmware.app_loader import check_head, load_module  # the engine takes 0.1 s to import

        check_head(wasm)
        app = App(self._boot, self, name, heap_bytes=max(heap_bytes, MIN_HEAP_BYTES), max_timers=timers)
        load_module(app, wasm)
        return app

    def install(self, name: str, wasm: bytes, heap_bytes: int, timers: int = DEFAULT_TIMERS) -> App | None:
        """Load and start an app; return None if the power went. AppExists, TooManyApps, InvalidModule say why not."""
        with self._changing:
            if len(self._apps) >= self._max_apps:
                raise TooManyApps(f"the board runs {self._max_apps} apps already", next_step="stop one")
            if self._find(name) is not None:
                raise AppExists(f"an app named {name} is there", next_step="remove it, or choose another name")
            app = self.load(name, wasm, heap_bytes=heap_bytes, timers=timers)
            with self._lock:
                if self._closed:
                    return None
                self._last_id = app.app_id = self._last_id + 1
                self._apps[app.app_id] = app
                app.start()
                return app

    def remove(self, name: str) -> bool:
        """End an app and take it out of the list, also one that spins; return False if there is none."""
        app = self._find(name)
        if app is None:
            return False
        if not app.stop():
            app.kill(JOIN_S)
        with self._lock:
            self._apps.pop(app.app_id, None)
        return True

    def ask_page(self, request: bytes, on_answer: Callable[[bytes], None], name: str | None = None) -> bool:
        """Give an HTTP request to the app that has pages, or that of a name; `on_answer` gets the bytes of its answer.

        Return False if there is none, or it takes no more. A request is forgotten after PAGE_ANSWER_MS.
        """
        pages = (app for app in self.apps if PAGES_URL in app.env.messages.resources and name in (None, app.name))
        app = next(pages, None)
        if app is None:
            return False
        mid = next(self._page_mids)
        now_ms = self.board.clock.now_ms()
        with self._lock:
            self._forget_page_requests(now_ms)
            if len(self._page_requests) >= MAX_PAGE_REQUESTS:
                return False
            self._page_requests[mid] = _PageRequest(on_answer, now_ms + PAGE_ANSWER_MS)
        message = WasmachineRequest(RequestAction.POST, PAGES_URL, mid, request, FORMAT_RAW)
        is_taken = app.deliver("on_request", _pack(message, PAGES_URL, PAGE_CLIENT_ID))
        if not is_taken:
            with self._lock:
                self._page_requests.pop(mid, None)
        return is_taken

    def _forget_page_requests(self, now_ms: float) -> None:
        """Forget the requests that had no answer in time."""
        late_mids = [mid for mid, request in self._page_requests.items() if request.until_ms <= now_ms]
        for mid in late_mids:
            del self._page_requests[mid]

    @property
    def apps(self) -> list[App]:
        """Newest first, as the manager lists them."""
        with self._lock:
            return list(reversed(self._apps.values()))

    # What apps call.

    def app_responds(self, payload: bytes) -> bool:
        """Pass a packed response on, to the host unless it names an app; return False if it is none."""
        try:
            response = Response.decode(payload)
        except ProtocolError:
            return False
        if response.receiver == PAGE_CLIENT_ID:
            self._answer_page(response)
            return True
        with self._lock:
            app = self._apps.get(response.receiver)
        if app is None:
            self._transmit(MessageType.RESPONSE, payload)
        else:
            app.deliver("on_response", payload)
        return True

    def _answer_page(self, response: Response) -> None:
        now_ms = self.board.clock.now_ms()
        with self._lock:
            self._forget_page_requests(now_ms)
            request = self._page_requests.pop(response.mid, None)
        if request is not None:
            request.on_answer(response.body if response.status == CoapCode.CONTENT else b"")

    def app_requests(self, sender: App, payload: bytes) -> None:
        """Pass a packed event on to those who subscribed, or a request to another app."""
        request = unpack_request(payload)
        if request is None:
            return
        if request.action != RequestAction.EVENT:
            self._dispatch(request, sender.app_id)
            return
        if request.url == ENDED_EVENT:
            sender.status.main_ended()
            self.on_trouble(sender)
        packed = _pack(request, request.url, sender.app_id)
        if request.url in self._host_events:
            self._transmit(MessageType.REQUEST, packed)
        for app in self.apps:
            if request.url in app.env.messages.subscriptions:
                app.deliver("on_request", packed)

    def app_has_trouble(self, app: App) -> None:
        """Tell that an app trapped or exited."""
        self.on_trouble(app)

    # Requests.

    def _dispatch(self, request: WasmachineRequest, sender_id: int = HOST_ID) -> None:
        if url_tail(request.url, "/app/") is not None:
            self._ask_app(request, sender_id)
        elif url_tail(request.url, "/applet") is not None or url_tail(request.url, "/event/") is not None:
            self._enqueue(request)
        else:
            for app in self.apps:
                resources = tuple(app.env.messages.resources)
                if any(url_tail(request.url, resource) is not None for resource in resources):
                    app.deliver("on_request", _pack(request, request.url, sender_id))
                    return

    def _ask_app(self, request: WasmachineRequest, sender_id: int) -> None:
        name, slash, rest = (url_tail(request.url, "/app/") or "").partition("/")
        if not slash:
            return
        app = self._find(name)
        if app is None:
            self._refuse(request.mid, answers.REQUEST_INVALID_NAME)
        else:
            app.deliver("on_request", _pack(request, rest, sender_id))

    def _enqueue(self, request: WasmachineRequest) -> None:
        try:
            self._queue.put_nowait(request)
        except queue.Full:
            self.board.print_line("app manager: queue is full, request lost")

    def _handle(self, request: WasmachineRequest) -> None:
        tail = url_tail(request.url, "/applet")
        if tail is not None:
            self._handle_applet(request, tail)
            return
        event = url_tail(request.url, "/event/")
        if event is not None:
            self._handle_event(request, event[:_MAX_EVENT_URL])

    def _handle_applet(self, request: WasmachineRequest, tail: str) -> None:
        kind = url_value(tail, "type", 6)
        if kind not in ("", "wasm", "jeff", "wasmlib"):
            self._refuse(request.mid, answers.INVALID_MODULE_TYPE)
        elif request.action == RequestAction.PUT:
            self._put_applet(request, tail, is_wasm=kind in _WASM_TYPES)
        elif request.action == RequestAction.DELETE:
            if kind in _WASM_TYPES:
                self._uninstall(request.mid, url_value(tail, "name", MAX_NAME_BYTES))
        elif request.action == RequestAction.GET:
            self._query(request.mid, url_value(tail, "name", MAX_NAME_BYTES))
        else:
            self._refuse(request.mid, answers.INVALID_APPLET_ACTION)

    def _put_applet(self, request: WasmachineRequest, tail: str, *, is_wasm: bool) -> None:
        if len(self._apps) >= self._max_apps:
            self._refuse(request.mid, answers.TOO_MANY_APPS)
        elif isinstance(request, InstallRequest):
            if is_wasm:
                self._install(request, tail)
        elif request.body:
            self._refuse(request.mid, "Install WASM app failed: invalid wasm package type.")
        else:
            self._refuse(request.mid, "Install Applet failed: invalid payload.")

    def _install(self, request: InstallRequest, tail: str) -> None:
        name = url_value(tail, "name", MAX_NAME_BYTES)
        if not name:
            self._refuse(request.mid, "Install WASM app failed: invalid app name.")
            return
        heap_bytes = url_number(tail, "heap", DEFAULT_HEAP_BYTES)
        timers = min(url_number(tail, "timers", DEFAULT_TIMERS), MAX_TIMERS)
        try:
            app = self.install(name, request.body, heap_bytes, timers)
        except (TooManyApps, AppExists, InvalidModule) as exc:
            self._refuse(request.mid, _REFUSALS.get(type(exc), exc.message))
        else:
            if app is not None:
                self.board.print_line("Install WASM app success!")
                self._answer(Response(CoapCode.CREATED, request.mid))

    def _uninstall(self, mid: int, name: str) -> None:
        if not name:
            self._refuse(mid, "Uninstall WASM app failed: invalid app name.")
            return
        app = self._find(name)
        if app is None:
            self._refuse(mid, answers.UNINSTALL_NOT_FOUND)
            return
        ended = app.stop()
        while not ended and not self._closed:
            # Upstream's watchdog is only announced, so this may last forever.
            ended = app.join(JOIN_S)
        if self._closed:
            return
        with self._lock:
            self._apps.pop(app.app_id, None)
        self.on_uninstalled(name)
        self.board.print_line("Uninstall WASM app successful!")
        self._answer(Response(CoapCode.DELETED, mid))

    def _find(self, name: str) -> App | None:
        return next((app for app in self.apps if app.name == name), None)

    def _query(self, mid: int, name: str) -> None:
        if not name:
            applets = [answers.AppletInfo(app.name, app.heap_bytes) for app in self.apps]
            self._answer(answers.encode_applets(applets, mid, self._generation))
            return
        app = self._find(name)
        if app is None:
            self._refuse(mid, answers.QUERY_NOT_FOUND)
            return
        applet = answers.AppletInfo(app.name, app.heap_bytes)
        self._answer(answers.encode_applet(applet, mid, self._generation))

    def _handle_event(self, request: WasmachineRequest, url: str) -> None:
        if request.action == RequestAction.PUT and len(self._host_events) < MAX_HOST_EVENTS:
            self._host_events.add(url)
        elif request.action == RequestAction.DELETE:
            self._host_events.discard(url)
        else:
            self._refuse(request.mid, "Handle event request failed.")
            return
        self._answer(Response(CoapCode.CONTENT, request.mid))

    def _refuse(self, mid: int, text: str) -> None:
        self._answer(answers.encode_error(text, mid, self._generation))

    def _answer(self, response: Response) -> None:
        self._transmit(MessageType.RESPONSE, response.encode())

    def _transmit(self, frame_type: MessageType, payload: bytes) -> None:
        if not self._closed:
            self._send(frame_type, payload)


def _pack(request: WasmachineRequest, url: str, sender_id: int) -> bytes:
    return replace(request, url=url[:MAX_URL_CHARS], sender=sender_id & 0xFFFFFFFF).encode()
