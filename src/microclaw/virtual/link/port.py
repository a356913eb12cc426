"""The link as one of the board's ports: a new client for every boot, the events of apps, the bench's requests."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final, cast

from microclaw import __version__
from microclaw.errors import CallRejected, DeviceUnreachable
from microclaw.virtual.board import UNNAMED
from microclaw.virtual.firmware.program_runners import ProgramRunners
from microclaw.virtual.link.audio import FORMAT, BoardAudio
from microclaw.virtual.link.calls import FIRMWARE, BoardMethods
from microclaw.virtual.link.fetches import LinkFetches
from microclaw.virtual.link.handler import CallHandler
from microclaw.virtual.link.uploads import LinkApps
from microclaw.virtual.link.wifi import VirtualWifi
from microclaw.virtual.link_client.client import LinkClient
from microclaw.virtual.link_client.flash import Flash, begin_reset
from microclaw.virtual.link_client.host_messages import HostMessages
from microclaw.virtual.link_client.identity import LinkAddress
from microclaw.virtual.link_client.state import LinkState
from microclaw.virtual.runtime.app import App
from microclaw.virtual.updates.slots import SlotFirmware, Slots
from microclaw.virtual.updates.trust import Trust
from microclaw.virtual.updates.updater import Updater
from microclaw.wire.board_replies import BoardLinkStatus, LogRow
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import AnyMessage, AppReport, Event, Hello, Software, Telemetry
from microclaw.wire.link.values import ValueMap

MAX_REASON_CHARS: Final = 400
KINDS: Final = ("wasm", "py")
GOODBYE_S: Final = 1.0
_SHOWN: Final = ("device_id", "code", "host", "error", "rtt_ms", "refused_events", "dropped")


class LinkPort:
    """The link's port. `folder` survives a power cut; ConfigError when damaged. A boot is `load`, then `power_on`."""

    def __init__(self, runners: ProgramRunners, folder: Path, address: LinkAddress, trust: Trust | None = None) -> None:
        self._runners = runners
        self._board = runners.board
        self._folder = folder
        self._address = address
        self._boot: _Boot | None = None
        self._is_restarting = False
        Flash(folder).close()
        self._slots = self._open_slots()
        # As `microclaw flash` does to a new board.
        if trust is not None and self._slots.flash.get("trust") is None:
            self._slots.flash.commit({"trust": trust})
        self._slots.flash.close()

    def load(self) -> Path | None:
        """Choose the firmware, as a bootloader does, and start it again if it crashes in its start.

        Returns the folder of an update's modules, or None if those built in are used.
        """
        self._slots = self._open_slots()
        self._has_crashed = False
        while (firmware := self._slots.start()).fault and not self._slots.choice.kept:
            self._has_crashed = True
            slot = self._slots.choice.slot
            self._board.print_line(f"{firmware.name} {firmware.version} in {slot} crashed in its start")
            self._board.print_line("Rebooting...")
        self._firmware = firmware
        folder = self._slots.place(self._slots.choice.slot)
        if any(folder.glob("runner.*py")):
            return folder
        return None

    def power_on(self, *, with_apps: bool = True) -> None:
        """Begin a boot; `load` was called."""
        if self._board.is_after_panic or self._has_crashed:
            reason = "panic"
        elif self._is_restarting:
            reason = "software"
        else:
            reason = "power_on"
        self._is_restarting = False
        self._boot = _Boot(self, Flash(self._folder), self._slots, self._firmware, reason)
        self._boot.start(with_apps=with_apps)

    def power_cut(self) -> None:
        """End the boot at once; the host is not told."""
        boot = self._boot
        self._boot = None
        if boot is not None:
            boot.end()

    def _open_slots(self) -> Slots:
        profile = self._board.profile
        build = profile.chip.lower().replace("-", "")
        if not profile.psram_mb:
            build += "-small"
        return Slots(self._folder.parent / "updates", SlotFirmware(FIRMWARE, __version__, 0), build)

    def close(self) -> None:
        """End in order: the host is told."""
        boot = self._boot
        if boot is not None:
            boot.client.goodbye("switched off", GOODBYE_S)
        self.power_cut()

    def restart(self) -> None:
        """Boot again; the host is told that it was asked for."""
        self._is_restarting = True
        self._board.reset()

    def factory_reset(self) -> None:
        """Forget host, credential, messages and programs; the board boots as new."""
        begin_reset(self._folder)
        self._board.reset()

    def on_log(self, record: LogRow) -> None:
        """Send a line of the console to the host."""
        boot = self._boot
        if boot is not None:
            boot.client.log("info", record.app or "board", record.text)

    # The bench

    def status(self) -> BoardLinkStatus:
        """Return the state of the link for the control socket."""
        boot = self._boot
        if boot is None:
            return BoardLinkStatus("off", self._address.url)
        state = boot.state
        return BoardLinkStatus(
            state=state.name,
            url=self._address.url,
            outbox=boot.client.outbox.depth,
            notified=boot.flash.get("notified", 0),
            notifications=tuple(boot.flash.get("notifications", ())),
            ui=tuple(f"{name}={value!s}" for name, value in sorted(state.ui.items())),
            **{name: getattr(state, name) for name in _SHOWN},
        )

    @property
    def audio(self) -> BoardAudio:
        """The microphone and speaker of this boot. Raises DeviceUnreachable without power."""
        return self._running().audio

    def send(self, message: AnyMessage) -> None:
        """Send a message of the board's own. It is in flash when this returns."""
        if not self._running().client.store_event(message):
            raise CallRejected("the outbox is full: the message is refused, and counted")

    def _running(self) -> _Boot:
        boot = self._boot
        if boot is None:
            raise DeviceUnreachable("the board has no power")
        return boot


class _Boot:
    """Everything of the link that one boot has in RAM."""

    def __init__(self, port: LinkPort, flash: Flash, slots: Slots, firmware: SlotFirmware, reset_reason: str) -> None:
        self._port = port
        board = port._board
        runners = port._runners
        self._board = board
        self._runners = runners
        self._reset_reason = reset_reason
        self.flash = flash
        self.state = LinkState()
        self.apps = LinkApps(flash, runners)
        self._wifi = VirtualWifi(flash)
        board_methods = BoardMethods(board, runners.free_heap_bytes, f"{firmware.name} {firmware.version}")
        methods = {**board_methods.methods(), **self.apps.methods(), **self._wifi.methods()}
        hello = self._hello(firmware, tuple(methods))
        self.client = LinkClient(
            flash, port._address, hello, self.state, measure=self._measure, set_calendar=board.set_calendar
        )
        session = self.client.session
        self.audio = BoardAudio(self.client.post, self.client.send, session.send_audio)
        self.client.hear = self.audio.hear
        self._slots = slots
        self.updates = Updater(self.client, board, slots, firmware, reset_reason=reset_reason, reboot=port.restart)
        fetches = LinkFetches(self.client, runners.py)
        self._calls = CallHandler(methods, flash, self.client, self._answered)
        name = None if board.name == UNNAMED else board.name
        self._messages = HostMessages(
            flash,
            self.client,
            self._show,
            self._calls.take,
            took_speech=self.audio.took,
            took_update=self.updates.took,
            took_fetch=fetches.took,
            name=name,
        )

    def _hello(self, firmware: SlotFirmware, methods: tuple[str, ...]) -> Hello:
        return Hello(
            boot_id=secrets.token_bytes(16),
            firmware=Software(firmware.name, firmware.version),
            board=self._board.profile.board_id,
            capabilities=methods,
            tx_epoch=bytes(8),  # set by the session
            rx_seq=0,
            reset_reason=self._reset_reason,
            kinds=KINDS,
            audio=FORMAT,
        )

    def start(self, *, with_apps: bool) -> None:
        """Begin to connect, after the kept programs are started."""
        self._runners.wasm.on_trouble = self.app_ended
        self._runners.wasm.on_uninstalled = self.apps.forget
        self._runners.py.on_event = lambda name, data: self._send_later(Event(name, cast("ValueMap", dict(data))))
        if with_apps:
            self.apps.start_kept()
        self._calls.start()
        self._send_later(Event("reboot", {"reason": self._reset_reason, "boot": self._board.boot}))
        self.updates.start()
        self.client.start(self._messages.handle)

    def end(self) -> None:
        """End at once: the power is cut."""
        self.audio.end_boot()
        self.updates.end()
        self.flash.close()
        self._slots.flash.close()
        self.client.end()
        self._calls.end()

    def _show(self, line: str) -> None:
        self._board.print_line(f"link: {line}")

    def _send_later(self, message: AnyMessage) -> None:
        if not self.client.post(lambda: self.client.send(message)):
            self.state.refused_events += 1

    def app_ended(self, app: App) -> None:
        """Report an app's end, in its thread, once a run.

        A callback that traps at every tick must not fill the outbox.
        """
        status = app.status
        if status.is_reported:
            return
        status.is_reported = True
        if status.kind_of_end == "trapped":
            reason = (status.error or "")[:MAX_REASON_CHARS]
            self._send_later(Event("app.crash", {"app": app.name, "reason": reason, "alive": app.is_alive}))
        else:
            self._send_later(Event("app.exit", {"app": app.name, "kind": status.kind_of_end or "returned"}))

    def _answered(self, method: str) -> None:
        """Carry out the rest of a call that ends the connection; its answer is on its way."""
        if method == "device.restart":
            self.client.leave(CloseCode.DONE, "restarting", self._port.restart)
        elif method == "wifi.set" and self._wifi.is_trying:
            self.client.leave(CloseCode.DONE, "another Wi-Fi", self._wifi.try_new)

    def _measure(self) -> Telemetry:
        reports = [AppReport(app.name, app.status.shown_state) for app in self._runners.wasm.apps]
        return Telemetry(
            free_heap=self._runners.free_heap_bytes(),
            uptime_s=int(self._board.clock.now_ms()) // 1000,
            apps=tuple(reports),
            dropped=self.state.dropped or None,
            refused_events=self.state.refused_events or None,
        )
