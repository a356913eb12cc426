"""A signed update of this board in progress (docs/protocols/ota.md). Loaded if there is something to do, then dropped.

    /ota/state     sealed: the record of ota_plan.py
    /ota/payload   of a bundle: the bytes so far

Checks are in ota_offer.py, the download in ota_download.py, folders in slots_files.py.
NVS has `trial`: the mark of the slot that is on trial (firmware/main.py). firmware.py counts its ten minutes.
"""

import asyncio
import os
import sys
from binascii import hexlify
from hashlib import sha256

from binding import bound
from messages import encode
from micropython import const

FOLDER = "ota"
# The memory that the code of a step takes.
_MEMORY_BYTES = const(10_240)
_MEMORY_TRIES = const(10)
_MEMORY_WAIT_S = const(10)


class Updates:
    """The work of an update, at `link.ota`. `taker`: the window in progress; `news`: a link, or a message."""

    def __init__(self, link):
        self.link = link
        self.board = link._board
        self.settings = link._settings
        self.root = link._settings.path("")
        self.payload = self.root + FOLDER + "/payload"
        self.record = _module("storage").read_sealed(self.root + FOLDER + "/state") or {}
        self.taker = self.task = None
        self.news = asyncio.Event()
        self.move()

    def __getattr__(self, name):
        """Load a step that is done once from ota_life.py: begin, cancel, drop, welcome, switch, give_up, fail."""
        return bound(getattr(_module("ota_life"), name), self)

    def move(self, how=None, *args):
        """Have the plan take it; its code is read in for each. `todo` is what is to be done then."""
        plan = _module("ota_plan").Plan(self.record, self._save, self.say)
        if how:
            result = getattr(plan, how)(*args)
        else:
            result = None
        self.record = plan.record
        self.todo = plan.todo
        return result

    def go_on(self):
        if self.todo in ("", "switch"):
            self.drop_payload()
        if self.todo not in ("", "trial"):
            self.task = asyncio.create_task(self._run())
        self.rest()

    def drop_payload(self):
        _module("storage").remove_file(self.payload)

    def rest(self):
        """Drop this object if nothing is left to do; a trial waits for its `welcome` without it."""
        if self.task is None:
            self.link.ota = None
            asyncio.create_task(self.link._calls.runner.resume())

    def offer(self, manifest, signature):
        digest = hexlify(sha256(manifest).digest()).decode()
        if not self.move("known", digest):
            change = _module("ota_offer").checked(self, digest, manifest, signature)
            # The plan has another update now.
            if change and self.move(*change):
                self.stop()
                self.go_on()
        self.rest()

    def piece(self, data):
        """Take a BLOB frame's payload; ignore it if no download waits for it."""
        if self.taker is not None:
            self.taker.take(data)

    def refused(self, code):
        if self.taker is not None and code[:5] == "blob_":
            self.taker.error = code
            self.news.set()

    async def _run(self):
        tries = _MEMORY_TRIES
        runner = self.link._calls.runner
        # The heap may grow for this, and programs would be ended for the memory that Wi-Fi then lacks.
        if self.board.is_small:
            # The programs start again with the new firmware, or when this has failed.
            await runner.pause()
            runner.make_room()
        while self.todo:
            try:
                if not runner.has_room(_MEMORY_BYTES):
                    raise MemoryError("restart it, then offer it again")
                change = await self._step()
                if change:
                    self.move(*change)
                    if self.todo in ("", "switch"):
                        self.drop_payload()
            except MemoryError as exc:
                # Programs come and go: try again.
                tries -= 1
                if not tries:
                    self.give_up("no_room: no memory for the update: %s" % exc)
                await asyncio.sleep(_MEMORY_WAIT_S)
            except Exception as exc:
                # Mostly a fault of the flash.
                sys.print_exception(exc)
                self.give_up("flash_error: %r" % exc)
        self.task = None
        self.rest()

    def _step(self):
        """Return a coroutine for the next step; its result is what the plan is to be called with.

        The step's code and the plan's are never in memory together.
        """
        if self.todo == "switch":
            self.move("rebooting")
            return self.switch()
        if self.todo == "download":
            return _module("ota_download").download(self, self.board.is_small)
        return _module("ota_unpack").check(self)

    def stop(self):
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self.taker = None

    def slots(self):
        return _module("slots_files")

    def _save(self, record):
        try:
            os.mkdir(self.root + FOLDER)
        except OSError:
            # The folder exists; if it does not, the next write fails.
            pass
        _module("storage").write_sealed(self.root + FOLDER + "/state", record)
        self.record = record

    def say(self, version, state, progress, error):
        """Put a status into the outbox, past its limit: an update sends few."""
        body = {"version": version[:100], "state": state, "progress": progress}
        if error:
            body["error"] = error[:400]
        outbox = self.link.outbox
        outbox._write([1, outbox.last + 1, encode("ota_status", body), None])
        self.link._news.set()


def _module(name):
    """Read in with what it imports, and given back after its use."""
    module = __import__(name)
    for other in list(sys.modules):
        if other[:4] == "ota_" or other[:6] == "slots_" or other in ("mpy_file", "storage"):
            sys.modules.pop(other)
    return module
