"""One boot's part in an update: offers, windows of the payload, verification, switch, trial; all in the link's thread.

What it does not remember is in flash, in `Slots`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import structs

from microclaw.errors import StoreError
from microclaw.hardware.firmware_modules import ota_bad, ota_check, ota_plan
from microclaw.virtual.board import Board
from microclaw.virtual.link_client.client import LinkClient
from microclaw.virtual.updates.slots import ROOM_BYTES, SlotFirmware, Slots
from microclaw.wire.link.actions import Deliver, TakeBlob
from microclaw.wire.link.frame import CloseCode
from microclaw.wire.link.messages import BlobRead, ErrorMessage, Hello, OtaCancel, OtaFacts, OtaOffer, OtaStatus
from microclaw.wire.link.states import LinkPhase

WINDOW_BYTES: Final = 16_384
SILENCE_S: Final = 20.0
MAX_FAILURES: Final = 10
TRIAL_S: Final = 600.0
TICK_S: Final = 5.0
_GONE: Final = ("blob_unknown", "blob_withdrawn")
_MAX_ERROR_CHARS: Final = 400
_KEY_BYTES: Final = 8
_YEAR_2001_MS: Final = 978_307_200_000
"""A calendar before it was never set."""


class Updater:
    """`reset_reason` is said where the board went back. `reboot` is called once the connection is over."""

    def __init__(
        self,
        client: LinkClient,
        board: Board,
        slots: Slots,
        firmware: SlotFirmware,
        *,
        reset_reason: str,
        reboot: Callable[[], None],
    ) -> None:
        self._client = client
        self._board = board
        self._slots = slots
        self._firmware = firmware
        self._reason = reset_reason
        self._reboot = reboot
        self._plan = ota_plan.Plan(slots.flash.get("plan", {}), lambda r: slots.flash.commit({"plan": r}), self._say)
        self._window = bytearray()
        self._asked_bytes = 0  # of the window that is under way; 0: none is
        self._heard_s = 0.0
        self._failures = 0
        self._trial_until_s = self._now_s() + TRIAL_S
        self._timer: threading.Timer | None = None
        client.take_blob = self.take
        client.welcomed = self.ready
        self._tell_facts()

    def start(self) -> None:
        """Begin, before the client connects."""
        self._client.post(self._begin, must=True)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def took(self, deliver: Deliver) -> bool:
        """Handle a message; return True if it was for updates."""
        match deliver.envelope.body:
            case OtaOffer(manifest=manifest, signature=signature) if self.takes_updates:
                self.offered(manifest, signature)
            case OtaCancel(version=version) if self.takes_updates:
                self.cancelled(version)
            case ErrorMessage(code=code) if code.startswith("blob_"):
                self.refused(code)
                return True
            case _:
                return False
        # The effect came first: if the connection is cut in between, the host sends it again, and it changes nothing.
        self._client.commit_effect(deliver)
        self.go_on()
        self._watch()
        before = self._told
        facts = self._tell_facts()
        if before is not None and facts is not None and before.keys != facts.keys:
            self._client.leave(CloseCode.DONE, "other keys", lambda: None)  # and back at once: only `hello` tells them
        return True

    @property
    def takes_updates(self) -> bool:
        """True if somebody gave the board a key."""
        return bool(self._trust)

    def facts(self) -> OtaFacts | None:
        """Return the facts for `hello`; None for a board without keys."""
        if not self.takes_updates:
            return None
        keys = tuple(sorted(self._trust["keys"]))
        return OtaFacts(self._slots.board, self._trust["channel"], ("files",), keys, self._security)

    # What happens

    def booted(self) -> None:
        """Tell the plan what started, and go on with what the last boot had not ended."""
        choice = self._slots.choice
        self._plan.booted(choice.slot, choice.went_back, choice.kept, f"unhealthy: {self._reason}")
        self._slots.seen()
        self.go_on()

    def ready(self) -> None:
        """Note a welcome: the firmware of this boot is healthy."""
        if self._plan.state == "trial":
            self._slots.keep()
        self._plan.healthy(self._firmware.security_version)
        self._failures = 0
        self.go_on()
        self._tell_facts()

    def offered(self, manifest: bytes, signature: bytes) -> None:
        """Take the offer; its result is in flash when this returns."""
        digest = hashlib.sha256(manifest).hexdigest()
        if self._plan.known(digest):
            return
        if self._trust.get("hash") == digest:  # keys that were taken, perhaps by a key that they removed
            self._say(ota_check.version_of(ota_check.read_manifest(manifest)), "healthy", 1.0, None)
            return
        try:
            values = ota_check.check(manifest, signature, self._facts())
        except ota_check.Refused as refused:
            self._plan.refused(refused.version, refused.error())
            return
        if values["kind"] == "keys":
            keys = ota_check.changed_keys(values, self._trust["keys"])
            trust = {**self._trust, "keys": keys, "serial": values["serial"], "hash": digest}
            self._slots.flash.commit({"trust": trust})
            self._say(ota_check.version_of(values), "healthy", 1.0, None)
        elif self._plan.offered(digest, values):
            self._forget_window()
            self._failures = 0

    def cancelled(self, version: str) -> None:
        self._plan.cancelled(version)
        if not self._plan.todo:
            self._forget_window()

    def take(self, blob: TakeBlob) -> None:
        """Take a piece of the window that was asked for; any other is ignored."""
        key = bytes.fromhex(self._plan.record.get("sha256", ""))[:_KEY_BYTES]
        at = self._plan.record.get("at", 0) + len(self._window)
        if not self._asked_bytes or blob.key != key or blob.offset != at:
            return
        if len(self._window) + len(blob.data) > self._asked_bytes:
            return
        self._window += blob.data
        self._heard_s = self._now_s()
        if len(self._window) == self._asked_bytes:
            self._guarded(self._keep_window)

    def refused(self, code: str) -> None:
        """Handle the host's error for a window."""
        if not self._asked_bytes:
            return
        self._forget_window()
        if code in _GONE:
            self._plan.failed(f"download_failed: {code}")
        else:
            self._fail_window()

    def tick(self) -> None:
        """Look if time is up for a window or the trial."""
        now_s = self._now_s()
        if self._plan.todo == "trial" and now_s >= self._trial_until_s:
            self._restart()  # without a welcome: a start that failed
        elif self._plan.todo == "download" and self._is_ready and now_s - self._heard_s >= SILENCE_S:
            if self._asked_bytes:
                self._fail_window()
            self.go_on()

    # What it does

    def go_on(self) -> None:
        """Do what is next; after an offer, once it is acknowledged."""
        self._guarded(self._continue)

    def _continue(self) -> None:
        plan = self._plan
        if plan.todo == "download":
            self._download()
        if plan.todo == "verify":
            self._verify()
        if plan.todo == "switch":
            plan.rebooting()
            self._slots.choose(plan.record["slot"])
            self._restart()

    def _download(self) -> None:
        plan = self._plan
        if plan.state == "offered":
            plan.downloading(self._slots.unused())
        at = plan.record["at"]
        size = plan.record["size"]
        if at >= size:
            plan.downloaded()
            return
        if not self._is_ready:
            return  # `ready` asks
        self._window.clear()
        self._asked_bytes = min(WINDOW_BYTES, size - at)
        self._heard_s = self._now_s()
        self._client.send(BlobRead(bytes.fromhex(plan.record["sha256"]), at, self._asked_bytes))

    def _keep_window(self) -> None:
        record = self._plan.record
        data = bytes(self._window)
        self._forget_window()
        self._slots.append(record["at"], data)
        self._plan.wrote(record["at"] + len(data))
        self._failures = 0
        self._continue()

    def _verify(self) -> None:
        """Read the payload back from flash; only what is right in each byte is staged."""
        plan = self._plan
        record = self._plan.record
        payload = self._slots.payload()
        if hashlib.sha256(payload).hexdigest() != record["sha256"]:
            plan.failed("wrong_hash")
        elif record["key"] not in self._trust.get("keys", {}):
            plan.failed("unknown_key: it was removed")
        else:
            found = self._slots.install(record["slot"], payload)
            if (found.version, found.security_version) != (record["version"], record["sv"]):
                plan.failed(f"bad_bundle: it is version {found.version} of security version {found.security_version}")
            else:
                plan.staged()
        self._slots.drop_payload()

    def _guarded(self, act: Callable[[], None]) -> None:
        """End the update, and not the link, for a fault of a payload or of the flash."""
        try:
            act()
        except ota_bad.BadPayload as refused:
            self._plan.failed(f"{refused.code}: {refused.words}")
            self._slots.drop_payload()
        except (OSError, StoreError) as exc:
            if self._plan.state not in ("downloading", "verifying"):
                raise
            self._forget_window()
            self._plan.failed(f"flash_error: {exc}")

    def _fail_window(self) -> None:
        self._forget_window()
        self._failures += 1
        self._heard_s = self._now_s()
        if self._failures >= MAX_FAILURES:
            self._plan.failed(f"download_failed: {MAX_FAILURES} windows in a row failed")

    def _forget_window(self) -> None:
        self._window.clear()
        self._asked_bytes = 0

    def _say(self, version: str, state: str, progress: float, error: str | None) -> None:
        if error:
            words = error[:_MAX_ERROR_CHARS]
        else:
            words = None
        self._client.keep_now(OtaStatus(version, state, progress, words))  # type: ignore[arg-type]  # a state of the plan

    def _restart(self) -> None:
        """Boot again, after what was said is on its way."""
        self._client.leave(CloseCode.SHUTTING_DOWN, "an update", self._reboot)

    def _tell_facts(self) -> OtaFacts | None:
        """Put the facts of updates into the next greeting."""
        opening = self._client.session.opening
        assert isinstance(opening, Hello)
        self._told = self.facts()
        self._client.session.opening = structs.replace(opening, ota=self._told)
        return self._told

    def _begin(self) -> None:
        self.booted()
        self._watch()

    def _watch(self) -> None:
        """Look after a download or a trial again in some seconds."""
        if self._timer is None and self._plan.todo in ("download", "trial") and not self._client.is_over:
            self._timer = threading.Timer(TICK_S, lambda: self._client.post(self._look, must=True))
            self._timer.daemon = True
            self._timer.start()

    def _look(self) -> None:
        self._timer = None
        self.tick()
        self._watch()

    def _now_s(self) -> float:
        return self._client.clock.now_ms() / 1000

    @property
    def _is_ready(self) -> bool:
        return self._client.session.phase is LinkPhase.READY

    @property
    def _trust(self) -> Mapping[str, Any]:
        return self._slots.flash.get("trust", {})  # type: ignore[no-any-return]  # as it was committed

    @property
    def _security(self) -> int:
        """The highest security version that was healthy here."""
        own = 0 if self._plan.state == "trial" else self._firmware.security_version
        return max(int(self._plan.record["security"]), own)

    def _facts(self) -> dict[str, Any]:
        """Return the device as the check of an offer sees it."""
        running = self._firmware
        now_ms = self._board.calendar_ms(self._board.clock.now_ms())
        return {
            "name": running.name,
            "board": self._slots.board,
            "channel": self._trust["channel"],
            "device": self._client.state.device_id or "",
            "version": running.version,
            "revision": "",
            "security_version": self._security,
            "keys": self._trust["keys"],
            "serial": self._trust.get("serial", 0),
            "now_s": int(now_ms) // 1000 if now_ms >= _YEAR_2001_MS else None,
            "slot_bytes": 0,
            "room_bytes": ROOM_BYTES,
        }
