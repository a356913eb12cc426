"""Updates of kind `image`: the unused one of two application slots (docs/protocols/ota.md). Read in when needed.

By MicroPython's `esp32.Partition`. Whether a new image stays is the bootloader's (ESP-IDF, "App rollback"): one that is
not marked as valid in its first start is given up with the next reset, so an image has one start on trial, not three.
"""

import asyncio
import hashlib
from binascii import hexlify

import storage
from board import esp32
from micropython import const

_BLOCK = const(4096)
_NOTE_BYTES = const(65_536)  # what a power cut takes back at most
_MARK = const(3)  # `trial` of NVS; 1 and 2 are of folders
_PIECE = const(512)
_TAKEN = "ota/images"  # sealed: of each slot the version of its image, and that of our files when it was chosen


def running(_):
    return _of(esp32.Partition.RUNNING).info()[4]


def unused(_):
    """The label of the slot that an update goes to; None where there is no second one."""
    try:
        return _of(esp32.Partition.RUNNING).get_next_update().info()[4]
    except (AttributeError, OSError):  # no Partition on the unix port; one slot alone
        return None


def mark(_):
    return _MARK


def room(up):
    label = unused(up)
    return 0 if label is None or label == running(up) else _slot(label).info()[3]


def choose(up, label):
    told = storage.read_sealed(up.root + _TAKEN) or {}
    told[label] = [up.record["version"], up.link.files_version]
    storage.write_sealed(up.root + _TAKEN, told)
    _slot(label).set_boot()


def version(root, files):
    """That of the image that runs, where it came by an update and our files, of the version `files`, did not since."""
    told = (storage.read_sealed(root + _TAKEN) or {}).get(running(None))
    return told[0] if told and told[1] == files else files


def keep():
    try:
        esp32.Partition.mark_app_valid_cancel_rollback()
    except OSError:
        pass  # the bootloader of this image goes back for nothing


def gave_up(_, label):
    pass  # the bootloader did


def forget(_):
    pass  # the slot is written over


def sink(up):
    return Slot(_slot(up.record["slot"]), up.record["at"])


async def check(up):
    """The image is of this chip and of its size, and its SHA-256 is right as it is read back: what the plan is told."""
    from ota_bad import BadPayload
    from ota_image import IMAGE_HEAD_BYTES, image_facts
    from ota_keys import board_name

    record = up.record
    part, digest, left, at = _slot(record["slot"]), hashlib.sha256(), record["size"], 0
    piece = memoryview(bytearray(_PIECE))
    try:
        while left:
            part.readblocks(at // _BLOCK, piece, at % _BLOCK)
            if not at:
                image_facts(bytes(piece[:IMAGE_HEAD_BYTES]), board_name(up.board))
            size = min(_PIECE, left)
            digest.update(piece[:size])
            at, left = at + size, left - size
            await asyncio.sleep_ms(0)
        if hexlify(digest.digest()).decode() != record["sha256"]:
            raise BadPayload("wrong_hash", "")
    except BadPayload as exc:
        return "failed", exc.code + (": " + exc.words if exc.words else "")
    return ("staged",)


def _of(which):
    return esp32.Partition(which)


def _slot(label):
    return esp32.Partition.find(esp32.Partition.TYPE_APP, label=label)[0]


class Slot:
    """Writes a partition block by block, each erased for that. `at` counts also what is waiting for its block."""

    def __init__(self, part, at):
        self._part = part
        self.at = at // _BLOCK * _BLOCK
        self._block = bytearray(_BLOCK)
        self.note_at = (self.at // _NOTE_BYTES + 1) * _NOTE_BYTES

    def write(self, data):
        done = 0
        while done < len(data):
            begin = self.at % _BLOCK
            size = min(_BLOCK - begin, len(data) - done)
            self._block[begin : begin + size] = data[done : done + size]
            done += size
            self.at += size
            if self.at % _BLOCK == 0:
                self._part.writeblocks(self.at // _BLOCK - 1, self._block)

    def flush(self):
        pass  # a window of whole blocks is written already

    def close(self):
        """What is left is the image's end: its block is filled up as erased flash is."""
        begin = self.at % _BLOCK
        if begin:
            self._block[begin:] = b"\xff" * (_BLOCK - begin)
            self._part.writeblocks(self.at // _BLOCK, self._block)
            self.at = 0  # once
