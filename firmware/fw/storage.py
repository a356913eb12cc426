"""Programs in flash: two slots each, a record with a checksum written last, uploads that resume. Runs nothing.

    /apps/NAME/a.mpy  b.mpy     images; a new one goes to the slot that is not in use
    /apps/NAME/r0     r1        records, written in turn; the valid one of the highest generation counts
    /apps/=upload  =part.mpy    the upload under way: what was announced, and its bytes so far

A file is written beside and renamed, so that a power cut at any write leaves the old program or the new one.
Its functions are the methods of Slots (slots.py).
"""

import hashlib
import json
import os
from binascii import hexlify

from errors import CallError

MAX_PROGRAMS = 16
MAX_REMOVED = 4  # removed programs whose undo is kept
MAX_IMAGE = 65_536
MAX_WRITE = 4_096
MAX_NAME = 80  # bytes; a folder name on littlefs has at most 255, and each may become three
MAX_HEAP = 1_048_576
RESERVE = 8_192  # bytes given up when the flash is full, so that a program can still be removed


def load_all(slots):
    """At boot. One corrupt file never stops it."""
    try:
        os.mkdir(slots.root)
    except OSError:
        pass  # it is there; when it could not be made, the first write says so
    for folder in _list(slots.root):
        if folder[0] != "=":
            _load(slots, folder)
    _keep_reserve(slots)


def image(slots, name):
    """(folder, module name) to import."""
    return folder_of(slots, name), slots.known(name)["now"]


def folder_of(slots, name):
    return slots.root + "/" + _folder_name(name)


def set_autostart(slots, name, autostart):
    record = _copy(slots, name)
    slot = record["now"]
    record[slot] = record[slot][:3] + [autostart]
    _store(slots, name, record)


def begin(slots, name, kind, size, sha256, heap=0, autostart=True):
    if kind != "py":
        raise CallError("not_supported", "this board takes programs of kind py, not %s" % str(kind)[:20])
    if not isinstance(name, str) or not 0 < len(name.encode()) <= MAX_NAME or not _is_plain(name):
        raise CallError("bad_params", "%r cannot be the name of a program" % str(name)[:MAX_NAME])
    for value, least, most in ((size, 8, 2**30), (heap, 0, MAX_HEAP)):
        if type(value) is not int or not least <= value <= most:
            raise CallError("bad_params", "size and heap must be whole numbers of a program")
    if isinstance(sha256, (bytes, bytearray)) and len(sha256) == 32:
        sha256 = hexlify(sha256).decode()
    if not isinstance(sha256, str) or len(sha256) != 64 or sha256.strip("0123456789abcdef"):
        raise CallError("bad_params", "sha256 must be 32 bytes, or 64 hexadecimal digits")
    if type(autostart) is not bool:
        raise CallError("bad_params", "autostart must be true or false")
    if size > MAX_IMAGE:
        raise CallError("too_large", "a program of %d bytes, the board takes %d" % (size, MAX_IMAGE))
    known = _read_sealed(slots.upload_path)
    wanted = [name, size, sha256, heap, autostart]
    if known is None or known[:3] != wanted[:3]:
        _remove(slots.part_path)
        free = os.statvfs(slots.root)
        if size > free[0] * free[3]:
            raise CallError(
                "too_large", "a program of %d bytes, the flash has %d left: remove one" % (size, free[0] * free[3])
            )
    if known != wanted:
        _full_is_an_error(lambda: _write_sealed(slots.upload_path, wanted))
    return _offset(slots)


def write(slots, offset, data):
    size = _announced(slots)[1]
    at = _offset(slots)
    if type(offset) is not int or offset < 0 or not isinstance(data, (bytes, bytearray)) or len(data) > MAX_WRITE:
        raise CallError("bad_params", "offset must be a whole number, data at most %d bytes" % MAX_WRITE)
    if offset + len(data) > size:
        raise CallError("bad_params", "%d bytes at %d go past the announced %d" % (len(data), offset, size))
    if offset > at:
        raise CallError("wrong_offset", "offset %d, the board has %d bytes" % (offset, at))
    if offset + len(data) > at:  # what came before is there: a repeated call
        _full_is_an_error(lambda: _write(slots.part_path, data[at - offset :], "ab"))
    return _offset(slots)


def check_upload(slots):
    """Name and claim of the program whose upload is whole; it can be imported as UPLOADED. Nothing is installed yet."""
    name, size, sha256, heap = _announced(slots)[:4]
    at = _offset(slots)
    if at != size:
        raise CallError("wrong_offset", "the board has %d of %d bytes" % (at, size))
    found = _sha256(slots.part_path)
    if found != sha256:
        drop_upload(slots)
        raise CallError("hash_mismatch", "the program's SHA-256 is %s, announced was %s" % (found, sha256))
    if name not in slots.names() and len(slots.names()) >= MAX_PROGRAMS:
        raise CallError("too_many_apps", "%d programs are installed: remove one" % MAX_PROGRAMS)
    return name, heap


def install(slots, name):
    """The upload becomes the program of that name: into the slot that is not in use, then the record."""
    record, folder = _copy(slots, name), folder_of(slots, name)
    before = record["now"]
    slot = "b" if (before or record["before"]) == "a" else "a"
    record.update({"now": slot, "before": before, "undo": True, slot: _announced(slots)[1:]})
    if not before:
        record["a" if slot == "b" else "b"] = None
    if _folder_name(name) not in _list(slots.root):
        _full_is_an_error(lambda: os.mkdir(folder))
    _full_is_an_error(lambda: os.rename(slots.part_path, folder + "/" + slot + ".mpy"))
    _store(slots, name, record)
    slots.damaged.pop(name, None)
    slots.notes.pop(name, None)
    drop_upload(slots)


def drop_upload(slots):
    _remove(slots.upload_path)
    _remove(slots.part_path)


def remove(slots, name):
    if name in slots.damaged:
        _remove_folder(folder_of(slots, name))
        del slots.damaged[name]
        return
    slots.known(name)
    record = _copy(slots, name)
    record.update({"now": "", "before": record["now"], "undo": True})
    _store(slots, name, record)
    removed = sorted([r for r in slots.records.values() if not r["now"]], key=lambda r: r["gen"])
    for old in removed[: max(0, len(removed) - MAX_REMOVED)]:
        _forget(slots, old["name"])


def undo_target(slots, name=None):
    """The program of that name (None: the one that changed last) whose change can be taken back."""
    found = None
    for record in slots.records.values():
        if record["undo"] and name in (None, record["name"]) and (found is None or record["gen"] > found["gen"]):
            found = record
    if found is None:
        raise CallError("app_not_found", "there is nothing to undo" + (" of " + name if name else ""))
    slot = found["before"]
    if slot and not _is_whole(slots, found, slot):
        raise CallError("app_not_found", "the program before this one is damaged: it cannot come back")
    return found["name"]


def undo(slots, name):
    """Take the last change back; whether there is a program of that name now."""
    record = _copy(slots, name)
    record.update({"now": record["before"], "before": "", "undo": False})
    if not record["now"]:
        _forget(slots, name)
        return False
    _store(slots, name, record)
    return True


def _store(slots, name, record):
    record["gen"] = slots.gen + 1
    record["r"] ^= 1
    path = folder_of(slots, name) + "/r%d" % record["r"]
    try:
        _write_sealed(path, record)
    except OSError:
        _remove(slots.root + "/=reserve")
        _full_is_an_error(lambda: _write_sealed(path, record))
    slots.gen += 1
    slots.records[name] = record
    _keep_reserve(slots)


def _forget(slots, name):
    """The older record goes first: a cut leaves the newest, or a folder without one for the next boot to remove."""
    record, folder = slots.records.pop(name), folder_of(slots, name)
    _remove(folder + "/r%d" % (record["r"] ^ 1))
    _remove(folder + "/r%d" % record["r"])
    _remove_folder(folder)


def _load(slots, folder):
    path = slots.root + "/" + folder
    name = folder
    try:
        name = _name_of(folder)
        files = _list(path)
        for file in files:
            if file.endswith(".new"):
                _remove(path + "/" + file)
        if "r0" not in files and "r1" not in files:
            _remove_folder(path)  # a first install that was cut, or a removal
            return
        records = [r for r in (_read_sealed(path + "/r0"), _read_sealed(path + "/r1")) if r and r["name"] == name]
        if not records:
            slots.damaged[name] = "its record is damaged"
            return
        record = max(records, key=lambda r: r["gen"])
        slots.gen = max(slots.gen, record["gen"])
        if record["now"] and not _is_whole(slots, record, record["now"]):
            before = record["before"]
            if not before or not _is_whole(slots, record, before):
                slots.damaged[name] = "its image is damaged"
                return
            record.update({"now": before, "before": "", "undo": False})
            slots.notes[name] = "the newest image is damaged: this is the one before"
        slots.records[name] = record
    except Exception as exc:  # one bad folder never stops the boot
        slots.damaged[name] = "its files cannot be read: %r" % exc


def _is_whole(slots, record, slot):
    facts = record[slot]
    try:
        return facts is not None and _sha256("%s/%s.mpy" % (folder_of(slots, record["name"]), slot)) == facts[1]
    except OSError:
        return False


def _announced(slots):
    upload = _read_sealed(slots.upload_path)
    if upload is None:
        raise CallError("no_upload", "no upload has begun: call apps.begin")
    return upload


def _offset(slots):
    try:
        return os.stat(slots.part_path)[6]
    except OSError:
        return 0


def _keep_reserve(slots):
    path = slots.root + "/=reserve"
    try:
        if os.stat(path)[6] >= RESERVE:
            return
    except OSError:
        pass
    try:
        _write(path, bytes(RESERVE), "wb")
    except OSError:
        _remove(path)  # the flash is full; there will be a reserve when there is room


def _copy(slots, name):
    record = slots.records.get(name)
    if record is None:
        return {"name": name, "gen": 0, "r": 1, "now": "", "before": "", "undo": False, "a": None, "b": None}
    return dict(record)


def _write(path, data, mode):
    with open(path, mode) as file:
        file.write(data)
        file.flush()


def _write_sealed(path, value):
    """The value and its checksum, whole or not at all."""
    text = json.dumps(value).encode()
    try:
        _write(path + ".new", text + b"\n" + hexlify(hashlib.sha256(text).digest()), "wb")
        os.rename(path + ".new", path)
    except OSError:
        _remove(path + ".new")
        raise


def _read_sealed(path):
    """None for a file that is not there or not whole."""
    try:
        with open(path, "rb") as file:
            text, seal = file.read().split(b"\n")
        return json.loads(text) if hexlify(hashlib.sha256(text).digest()) == seal else None
    except (OSError, ValueError):
        return None


def _sha256(path):
    digest = hashlib.sha256()
    piece = memoryview(bytearray(512))
    with open(path, "rb") as file:
        while True:
            count = file.readinto(piece)
            if not count:
                return hexlify(digest.digest()).decode()
            digest.update(piece[:count])


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass  # it is not there, or the next boot tries again


def _remove_folder(path):
    for file in _list(path):
        _remove(path + "/" + file)
    try:
        os.rmdir(path)
    except OSError:
        pass  # something is left: the next boot removes it


def _list(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def _full_is_an_error(write):
    try:
        return write()
    except OSError as exc:
        raise CallError("failed", "the flash cannot be written (%s): is it full? Remove a program or files" % exc)


def _is_plain(name):
    return not any(c in "/&=?" or ord(c) < 32 or 127 <= ord(c) < 160 for c in name)


def _folder_name(name):
    """The name with everything but ASCII letters, digits, `-` and `_` as %xx: ".." is no folder."""
    plain = "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "".join([chr(b) if chr(b) in plain else "%%%02x" % b for b in name.encode()])


def _name_of(folder):
    first, *escaped = folder.split("%")
    return (first.encode() + b"".join([bytes([int(text[:2], 16)]) + text[2:].encode() for text in escaped])).decode()
