"""Programs in flash: two slots each, a record with a checksum written last, uploads that resume. Runs nothing.

    /apps/NAME/a.mpy  b.mpy     images; a new one goes to the slot that is not in use
    /apps/NAME/r0     r1        records, written in turn; the valid one of the highest generation counts
    /apps/=upload  =part.mpy    the upload under way: what was announced, and its bytes so far

A file is written beside and renamed, so that a power cut at any write leaves the old program or the new one.
What uploads.py and records.py share; read in with them. Its functions are methods of Slots (slots.py).
"""

import hashlib
import json
import os
from binascii import hexlify

from errors import CallError


def image(slots, name):
    """Return (folder, module name) to import."""
    return folder_of(slots, name), slots.known(name)["now"]


def folder_of(slots, name):
    return slots.root + "/" + folder_name(name)


def drop_upload(slots):
    remove_file(slots.upload_path)
    remove_file(slots.part_path)


def is_whole(slots, record, slot):
    facts = record[slot]
    try:
        return facts is not None and sha256_of("%s/%s.mpy" % (folder_of(slots, record["name"]), slot)) == facts[1]
    except OSError:
        return False


def announced(slots):
    upload = read_sealed(slots.upload_path)
    if upload is None:
        raise CallError("no_upload", "no upload has begun: call apps.begin")
    return upload


def offset_of(slots):
    try:
        return os.stat(slots.part_path)[6]
    except OSError:
        return 0


def write_file(path, data, mode):
    with open(path, mode) as file:
        file.write(data)
        file.flush()


def write_sealed(path, value):
    """Write the value and its checksum, whole or not at all."""
    text = json.dumps(value).encode()
    try:
        write_file(path + ".new", text + b"\n" + hexlify(hashlib.sha256(text).digest()), "wb")
        os.rename(path + ".new", path)
    except OSError:
        remove_file(path + ".new")
        raise


def read_sealed(path):
    """Return the value of a sealed file, or None if the file is missing or not whole."""
    try:
        with open(path, "rb") as file:
            text, seal = file.read().split(b"\n")
        if hexlify(hashlib.sha256(text).digest()) == seal:
            return json.loads(text)
        return None
    except (OSError, ValueError):
        return None


def sha256_of(path):
    digest = hashlib.sha256()
    piece = memoryview(bytearray(512))
    with open(path, "rb") as file:
        while True:
            count = file.readinto(piece)
            if not count:
                return hexlify(digest.digest()).decode()
            digest.update(piece[:count])


def remove_file(path):
    try:
        os.remove(path)
    except OSError:
        # The file does not exist, or the next boot tries again.
        pass


def remove_folder(path):
    for file in names_in(path):
        remove_file(path + "/" + file)
    try:
        os.rmdir(path)
    except OSError:
        # Something is left: the next boot removes it.
        pass


def names_in(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def full_is_an_error(write):
    try:
        return write()
    except OSError as exc:
        raise CallError("failed", "the flash cannot be written (%s): is it full? Remove a program or files" % exc)


def folder_name(name):
    """Return the name with everything but ASCII letters, digits, `-` and `_` as %xx, so that ".." is not a folder."""
    plain = "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "".join([chr(b) if chr(b) in plain else "%%%02x" % b for b in name.encode()])
