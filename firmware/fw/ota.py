"""A signed update of this board (docs/protocols/ota.md): what is under way. Read in for an offer and at a start that
finds one, given back when nothing is left to do.

    /ota/state     sealed: the record of ota_plan.py; `n` and `salt` make the ids of what is said of it
    /ota/payload   of a bundle: the bytes so far

Checks are in ota_offer.py, the download in ota_download.py, folders and slots in slots_files.py and slots_image.py.
NVS has `trial`: of the slot that is on trial, its mark (firmware/main.py).
"""

import asyncio
import os
import sys
from binascii import hexlify
from hashlib import sha256

import calendar
import cbor
import storage
from micropython import const
from ota_plan import Plan

sys.modules.pop("ota_plan", None)  # given back with this module
FOLDER = "ota"
TRIAL_S = 600
_QUIET_S = const(30)  # for calls under way, before the restart
_MEMORY_TRIES = const(10)
_MEMORY_WAIT_S = const(10)


class Updates:
    """`link.ota` while there is something to do. `taker`: of a window under way; `news`: a link, or what came."""

    def __init__(self, link):
        self.link, self.board, self.settings = link, link._board, link._settings
        self.root = link._settings.path("")
        self.payload = self.root + FOLDER + "/payload"
        self.plan = Plan(storage.read_sealed(self.root + FOLDER + "/state") or {}, self._save, self.say)
        self.taker = self.task = None
        self.news = asyncio.Event()

    # At a start

    def begin(self):
        """What this start finds: a trial, one that went back, or something to go on with."""
        plan, board = self.plan, self.board
        record = plan.record  # as the last start left it
        if not record["said"]:
            plan.known(record.get("hash"))  # says it, before what comes next
        if plan.state in ("rebooting", "trial"):
            slots = self.slots(record["kind"])
            running, marked = slots.running(self), board.number("trial") == slots.mark(record["slot"])
            if running == record["slot"] and plan.state == "rebooting" and not marked:  # a cut before the mark
                board.number("trial", slots.mark(running))
                marked = True
            is_back = running != record["slot"] and marked
            if is_back:
                slots.gave_up(self, record["slot"])
            plan.booted(running, is_back, not marked, "unhealthy: " + self.link.reset_reason)
        else:
            plan.booted(None, False, False, "")
        if plan.todo in ("", "download", "verify", "switch") and board.number("trial"):
            board.number("trial", 0)
        self.go_on()

    def go_on(self):
        todo = self.plan.todo
        if todo in ("", "switch"):
            storage.remove_file(self.payload)
        if todo:
            self.task = asyncio.create_task(self._run(todo))
        else:
            self.rest()

    def rest(self):
        """Nothing is left to do: what this took of memory is given back."""
        if self.task is None and not self.plan.todo:
            self.link.ota = None

    # From the link

    def offer(self, manifest, signature):
        _module("ota_offer").take(self, manifest, signature)
        self.rest()

    def begin_anew(self):
        """The plan has another update now."""
        self._stop()
        self.go_on()

    def drop(self, error):
        """The update under way cannot be trusted any more."""
        self._stop()
        self.fail(error)

    def cancel(self, version):
        self.plan.cancelled(version)
        if not self.plan.todo:
            self._stop()
            storage.remove_file(self.payload)
        self.rest()

    def welcome(self):
        """The host let this firmware in: a trial has ended well."""
        self.news.set()
        if self.plan.state != "trial":
            return
        record, board = self.plan.record, self.board
        self.slots(record["kind"]).keep()
        if record["sv"] > board.number("sec"):
            board.number("sec", record["sv"])
        board.number("fails", 0)
        board.number("trial", 0)
        self.plan.healthy(record["sv"])
        self._stop()
        self.rest()

    def piece(self, data):
        """A BLOB frame's payload; one that nobody waits for is ignored."""
        if self.taker is not None:
            self.taker.take(data)

    def refused(self, code):
        if self.taker is not None and code[:5] == "blob_":
            self.taker.error = code
            self.news.set()

    # What it does

    async def _run(self, todo):
        tries = _MEMORY_TRIES
        while todo:
            try:
                await self._do(todo)
            except MemoryError as exc:  # programs come and go
                tries -= 1
                if not tries:
                    self._give_up(exc)
                await asyncio.sleep(_MEMORY_WAIT_S)
            except OSError as exc:
                sys.print_exception(exc)
                self._give_up(exc)
            todo = self.plan.todo
        self.task = None
        self.rest()

    async def _do(self, todo):
        kind = self.plan.record["kind"]
        if todo == "trial":
            await asyncio.sleep(TRIAL_S)
            self.board.reset()  # no welcome: the selector counts this start as failed
        elif todo == "switch":
            await self._switch()
        elif todo == "download":
            await _module("ota_download").download(self)
        else:
            await _module("ota_unpack" if kind == "files" else "slots_image").check(self)

    def _give_up(self, exc):
        """The flash does not take it."""
        error = "flash_error: %r" % exc
        if self.plan.todo in ("download", "verify"):
            self.fail(error)
        else:  # it cannot be chosen: this one stays
            running = self.slots(self.plan.record["kind"]).running(self)
            self.plan.booted(running, True, False, error)

    def fail(self, error):
        storage.remove_file(self.payload)  # first: to say so takes room
        self.plan.downloading(None)
        self.plan.failed(error)

    def _stop(self):
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self.taker = None

    async def _switch(self):
        """Choose the new slot for the next start, and restart. `trial` last: a slot with it was chosen."""
        link, record = self.link, self.plan.record
        self.plan.rebooting()
        for _ in range(_QUIET_S):
            if not link._work:
                break
            await asyncio.sleep(1)
        slots = self.slots(record["kind"])
        self.board.number("fails", 0)
        slots.choose(self, record["slot"])
        self.board.number("trial", slots.mark(record["slot"]))
        if link.phase == "ready":
            try:
                await link._say("bye", {"reason": "an update", "retry_after_s": 0})
                await link.ws.close(1001, "an update")
            except OSError:
                pass  # the host sees the connection end
        self.board.restart()

    def slots(self, kind):
        return _module("slots_" + kind)

    # For the plan

    def _save(self, record):
        if not record["said"]:
            record["n"] = record.get("n", 0) + 1
        if "salt" not in record:
            record["salt"] = hexlify(os.urandom(8)).decode()
        try:
            os.mkdir(self.root + FOLDER)
        except OSError:
            pass  # it is there; else the next line says so
        storage.write_sealed(self.root + FOLDER + "/state", record)

    def say(self, version, state, progress, error):
        """To the outbox, past its limit: an update says little. What a cut may have kept unsaid goes under its old id,
        so that the host has it once."""
        record, link = self.plan.record, self.link
        body = {"version": version[:100], "state": state, "progress": progress}
        if error:
            body["error"] = error[:400]
        id = os.urandom(16)
        if not record["said"]:
            id = sha256(("%s %d" % (record["salt"], record["n"])).encode()).digest()[:16]
        message = {"v": 1, "type": "ota_status", "id": id, "ts": calendar.now_ms(), "body": body}
        link.outbox._write([1, link.outbox.last + 1, cbor.dumps(message), None])
        link._news.set()


def _module(name):
    """Read in with what it imports, and given back after its use."""
    found = __import__(name)
    for other in list(sys.modules):
        if other[:4] == "ota_" or other[:6] == "slots_" or other in ("mpy_file", "strict_json"):
            sys.modules.pop(other)
    return found
