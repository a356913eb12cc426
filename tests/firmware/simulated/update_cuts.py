"""Updates on a real littlefs whose power is cut at the n-th thing that changes flash: micropython update_cuts.py CASE.

CASE is a JSON file: what is offered, and how the new firmware does. Prints one line a run. What a start does is in the
order of main.py and startup.py; programs, Wi-Fi and TLS are left out, the link's messages are the firmware's own.
"""

import asyncio
import json
import os
import sys
from binascii import a2b_base64

sys.path[:0] = ["firmware", "firmware/fw", "tests/firmware/simulated"]
BLOCK = 4096
BLOCKS = 64
ROOT = "/flash/"


class Cut(BaseException):
    pass


class Flash:
    """Blocks and numbers; `left` changes go well, then one is cut: nothing of it, half of it, or all is there."""

    def __init__(self):
        self.data = bytearray(b"\xff" * (BLOCK * BLOCKS))
        self.numbers = {}
        self.left = None
        self.how = 0
        self.changes = 0

    def snapshot(self):
        return bytes(self.data), dict(self.numbers)

    def restore(self, kept):
        self.data[:] = kept[0]
        self.numbers = dict(kept[1])

    def change(self, make):
        """`make(part)` does the first `part` of 2 halves."""
        self.changes += 1
        if self.left is None:
            make(2)
            return
        if self.left <= 0:
            if self.left == 0 and self.how:
                make(self.how)
            self.left = -1
            raise Cut()
        self.left -= 1
        make(2)

    def readblocks(self, number, into, offset=0):
        at = number * BLOCK + offset
        into[:] = self.data[at : at + len(into)]

    def writeblocks(self, number, data, offset=0):
        at = number * BLOCK + offset

        def make(part):
            size = len(data) * part // 2
            old, new = (int.from_bytes(found, "big") for found in (self.data[at : at + size], bytes(data[:size])))
            self.data[at : at + size] = (old & new).to_bytes(size, "big")  # flash clears bits alone

        self.change(make)

    def ioctl(self, what, number):
        if what == 4:
            return BLOCKS
        if what == 5:
            return BLOCK
        if what == 6:
            begin = number * BLOCK
            size = BLOCK

            def make(part):
                self.data[begin : begin + size * part // 2] = b"\xff" * (size * part // 2)

            self.change(make)
        return 0


flash = Flash()


class NVS:
    def __init__(self, space):
        pass

    def get_i32(self, name):
        if name not in flash.numbers:
            raise OSError(-4354)
        return flash.numbers[name]

    def set_i32(self, name, value):
        def make(part):
            if part == 2:
                flash.numbers[name] = value

        flash.change(make)

    def commit(self):
        pass


import esp32

esp32.NVS = NVS
import cbor
import main
import ota_take
import outbox
from board import Board
from settings import Settings

main.FOLDERS = (ROOT + "fw_a", ROOT + "fw_b")
with open(sys.argv[1]) as file:
    CASE = json.load(file)
OLD, NEW = [{name: a2b_base64(CASE[key][name]) for name in CASE[key]} for key in ("old", "new")]
PAYLOAD = a2b_base64(CASE["payload"])
OFFER = {"manifest": a2b_base64(CASE["manifest"]), "signature": a2b_base64(CASE["signature"])}
KEYS = CASE["keys"].encode()
KEY_SETS = CASE.get("key_sets")  # of a change of keys: those that the board may have, old and new


class Calls:
    runner = None


class Runner:
    """The runner's part in an update."""

    async def resume(self):
        pass

    def has_room(self, size):
        return True

    def make_room(self):
        pass


class Host:
    """The host's state: the messages by their ids, and if its offer was acked."""

    def __init__(self):
        self.heard = {}
        self.acked = False

    def hear(self, box):
        for seq in range(box.acked + 1, box.last + 1):
            message = cbor.loads(bytes(box.message(seq)[1:]))
            if message["type"] == "ota_status":
                body = message["body"]
                told = [len(self.heard), body["version"], body["state"], body["progress"], body.get("error")]
                self.heard.setdefault(bytes(message["id"]), told)
        box.ack(box.last)


class Link:
    def __init__(self, host, version):
        self._board, self._settings = Board({"chip": "ESP32"}), Settings(ROOT)
        self._calls = Calls()
        self._calls.runner = Runner()
        self.outbox = outbox.Outbox(ROOT + "outbox")
        self.version = version
        self.reset_reason = "watchdog"
        self.phase = "down"
        self._news = asyncio.Event()
        self._work = []
        self.ota = None
        self.ws = self
        self._host = host

    async def _say(self, kind, body, re=None):
        if kind == "error":
            raise ValueError(body)
        if kind == "blob_read":
            at = body["offset"]
            end = body["offset"] + body["length"]
            while at < end:
                size = min(1008, end - at)
                self.ota.piece(memoryview(body["sha256"][:8] + at.to_bytes(4, "big") + PAYLOAD[at : at + size]))
                at += size

    async def close(self, code, reason):
        pass


def put(path, data):
    with open(path, "wb") as file:
        file.write(data)


def begin():
    """A board that was flashed: /fw_a, keys."""
    os.VfsLfs2.mkfs(flash)
    os.mount(os.VfsLfs2(flash), "/flash")
    os.mkdir(ROOT + "fw_a")
    for name in OLD:
        put(ROOT + "fw_a/" + name, OLD[name])
    put(ROOT + "fw_a/whole", b"")
    put(ROOT + "keys.json", KEYS)
    flash.numbers = {"slot": 0, "fails": 0, "trial": 0}
    os.umount("/flash")


def files_of(folder):
    found = {}
    for name in os.listdir(folder):
        with open(folder + "/" + name, "rb") as file:
            found[name] = file.read()
    found.pop("whole", None)
    return found


async def live(link, host, meets_host):
    """The start after main.py; the host lets it in, or not."""
    import storage

    if KEY_SETS:
        told = storage.read_sealed(ROOT + "keys.json")
        assert told, "there are no keys"
        assert sorted(told["keys"]) in KEY_SETS, "the keys are neither the old nor the new: %r" % told
    record = storage.read_sealed(ROOT + "ota/state")
    under_way = ("offered", "downloading", "verifying", "staged", "rebooting", "trial")
    if record and (record["state"] in under_way or not record["said"] or link._board.number("trial")):
        ota_take.updates(link).begin()
    if not meets_host:
        raise SystemExit(3)  # it hangs, and its watchdog bites
    link.phase = "ready"
    if link.ota is not None or link._board.number("trial"):
        ota_take.updates(link).welcome()
    link._board.number("fails", 0) if not link._board.number("trial") else None
    if not host.acked:
        await ota_take.take_update(link, "ota_offer", OFFER, None)
        host.acked = True
    host.hear(link.outbox)
    task = link.ota and link.ota.task
    if task:
        try:
            await task
        finally:
            host.hear(link.outbox) if flash.left != -1 else None


def start(host):
    """One start of the board; what became of it. AssertionError when it would run anything but the old or the new."""
    os.mount(os.VfsLfs2(flash), "/flash")
    try:
        folder = main.choose(NVS(""), main.whole())
        there = files_of(folder)
        assert there in (OLD, NEW), "%s has neither: %r" % (folder, sorted(there))
        is_new = there == NEW
        if is_new and CASE["new_is"] == "broken":
            return "crashed"
        sys.path[0] = folder
        asyncio.new_event_loop()
        link = Link(host, CASE["new_version"] if is_new else "1.0.0")
        asyncio.run(live(link, host, not (is_new and CASE["new_is"] == "deaf")))
        return "new" if is_new else "old"
    except SystemExit:
        return "reset"
    except Cut:
        return "cut"
    finally:
        os.umount("/flash")


def run(cut, how):
    """An update from its offer to its end; `cut`: the change of flash at which the power goes."""
    host = Host()
    flash.left = cut
    flash.how = how
    flash.changes = 0
    ways = []
    for _ in range(40):
        way = start(host)
        ways.append(way)
        if way == "cut":
            flash.left = None
        elif way in ("new", "old") and host.acked:
            break
    flash.left = None
    changes = flash.changes
    again = start(host)  # nothing is left to do, and nothing is said again
    assert ways[-1] == again, (ways, again)
    heard = sorted(host.heard.values())
    os.mount(os.VfsLfs2(flash), "/flash")
    if "ota" in os.listdir("/flash"):
        left = sorted(os.listdir("/flash/ota"))
    else:
        left = []
    import storage

    keys = sorted(storage.read_sealed(ROOT + "keys.json")["keys"])
    os.umount("/flash")
    return {"ways": ways, "heard": heard, "changes": changes, "left": left, "numbers": flash.numbers, "keys": keys}


begin()
fresh = flash.snapshot()
cuts = [[None, 0]] + CASE["cuts"]
for cut, how in cuts:
    flash.restore(fresh)
    try:
        print(json.dumps(run(cut, how)))
    except Exception:
        print(json.dumps({"cut": [cut, how]}))
        raise
