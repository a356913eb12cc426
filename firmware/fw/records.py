"""The records of installed programs: read at boot, changed by install, remove and undo. Methods of Slots (slots.py)."""

import os

import storage
from errors import CallError

# Removed programs whose undo is kept.
MAX_REMOVED = 4
# Bytes given up when the flash is full, so that a program can still be removed.
RESERVE = 8_192


def load_all(slots):
    """Load all records at boot; a corrupt file does not stop it."""
    try:
        os.mkdir(slots.root)
    except OSError:
        # The folder exists; if it could not be made, the first write fails.
        pass
    for folder in storage.names_in(slots.root):
        if folder[0] != "=":
            _load(slots, folder)
    _keep_reserve(slots)


def set_autostart(slots, name, autostart):
    record = _copy(slots, name)
    slot = record["now"]
    record[slot] = record[slot][:3] + [autostart] + record[slot][4:]
    _store(slots, name, record)


def install(slots, name):
    """Make the upload the program of that name: write it to the unused slot, then write the record."""
    record = _copy(slots, name)
    folder = storage.folder_of(slots, name)
    before = record["now"]
    slot = "b" if (before or record["before"]) == "a" else "a"
    record.update({"now": slot, "before": before, "undo": True, slot: storage.announced(slots)[1:]})
    if not before:
        other = "a" if slot == "b" else "b"
        record[other] = None
    if storage.folder_name(name) not in storage.names_in(slots.root):
        storage.full_is_an_error(lambda: os.mkdir(folder))
    storage.full_is_an_error(lambda: os.rename(slots.part_path, folder + "/" + slot + ".mpy"))
    _store(slots, name, record)
    slots.damaged.pop(name, None)
    slots.notes.pop(name, None)
    storage.drop_upload(slots)


def remove(slots, name):
    if name in slots.damaged:
        storage.remove_folder(storage.folder_of(slots, name))
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
    """Return the program of that name (None: the program that changed last) whose change can be reverted."""
    target = None
    for record in slots.records.values():
        if not record["undo"] or name not in (None, record["name"]):
            continue
        if target is None or record["gen"] > target["gen"]:
            target = record
    if target is None:
        of_name = " of " + name if name else ""
        raise CallError("app_not_found", "there is nothing to undo" + of_name)
    slot = target["before"]
    if slot and not storage.is_whole(slots, target, slot):
        raise CallError("app_not_found", "the program before this one is damaged: it cannot come back")
    return target["name"]


def undo(slots, name):
    """Revert the last change; return whether there is a program of that name now."""
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
    path = storage.folder_of(slots, name) + "/r%d" % record["r"]
    try:
        storage.write_sealed(path, record)
    except OSError:
        storage.remove_file(slots.root + "/=reserve")
        storage.full_is_an_error(lambda: storage.write_sealed(path, record))
    slots.gen += 1
    slots.records[name] = record
    _keep_reserve(slots)


def _forget(slots, name):
    """Remove the records, the older first.

    A cut leaves the newest, or a folder without a record, which the next boot removes.
    """
    record = slots.records.pop(name)
    folder = storage.folder_of(slots, name)
    storage.remove_file(folder + "/r%d" % (record["r"] ^ 1))
    storage.remove_file(folder + "/r%d" % record["r"])
    storage.remove_folder(folder)


def _load(slots, folder):
    path = slots.root + "/" + folder
    name = folder
    try:
        first, *escaped = folder.split("%")
        escaped = [bytes([int(text[:2], 16)]) + text[2:].encode() for text in escaped]
        name = (first.encode() + b"".join(escaped)).decode()
        files = storage.names_in(path)
        for file in files:
            if file.endswith(".new"):
                storage.remove_file(path + "/" + file)
        if "r0" not in files and "r1" not in files:
            # A first install or a removal was cut.
            storage.remove_folder(path)
            return
        sealed = [storage.read_sealed(path + "/r0"), storage.read_sealed(path + "/r1")]
        records = [record for record in sealed if record and record["name"] == name]
        if not records:
            slots.damaged[name] = "its record is damaged"
            return
        record = max(records, key=lambda r: r["gen"])
        slots.gen = max(slots.gen, record["gen"])
        if record["now"] and not storage.is_whole(slots, record, record["now"]):
            before = record["before"]
            if not before or not storage.is_whole(slots, record, before):
                slots.damaged[name] = "its image is damaged"
                return
            record.update({"now": before, "before": "", "undo": False})
            slots.notes[name] = "the newest image is damaged: this is the one before"
        slots.records[name] = record
    except Exception as exc:
        # A bad folder must not stop the boot.
        slots.damaged[name] = "its files cannot be read: %r" % exc


def _keep_reserve(slots):
    path = slots.root + "/=reserve"
    try:
        if os.stat(path)[6] >= RESERVE:
            return
    except OSError:
        pass
    try:
        for at in range(0, RESERVE, 512):
            mode = "ab" if at else "wb"
            storage.write_file(path, bytes(512), mode)
    except OSError:
        # The flash is full; there will be a reserve when there is room.
        storage.remove_file(path)


def _copy(slots, name):
    record = slots.records.get(name)
    if record is None:
        return {"name": name, "gen": 0, "r": 1, "now": "", "before": "", "undo": False, "a": None, "b": None}
    return dict(record)
