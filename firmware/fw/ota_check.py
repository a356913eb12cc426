"""Checks that an update may be taken: the manifest's form, its signature, its fit. Reads no file, keeps nothing.

CPython and MicroPython run this same file (docs/protocols/ota.md); a board loads it for an offer and drops it.
"""

import json
from binascii import a2b_base64, b2a_base64, hexlify
from hashlib import sha256

MAX_MANIFEST_BYTES = 4096
MAX_KEYS = 4
MAX_PAYLOAD_BYTES = 1 << 24
MODULUS_BYTES = 384
_MAX_DEPTH = 4
_DAY_S = 86400
_HASH_BYTES = 32
# RFC 5280: a SubjectPublicKeyInfo of an RSA key of 3,072 bits in DER; its modulus, then its exponent, 65,537.
SPKI_HEAD = (
    b"\x30\x82\x01\xa2\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
    b"\x05\x00\x03\x82\x01\x8f\x00\x30\x82\x01\x8a\x02\x82\x01\x81\x00"
)
SPKI_TAIL = b"\x02\x03\x01\x00\x01"
# Bytes: MicroPython keeps each letter that it takes out of a text, as a name, forever.
_DIGITS = b"0123456789"
_HEX = b"0123456789abcdef"
_LOWER = b"abcdefghijklmnopqrstuvwxyz0123456789-"
_NAME = _LOWER + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ._"


class Refused(Exception):
    """A refused offer: `code` of docs/protocols/ota.md, `words` for people or "", `version` "" if unreadable."""

    def __init__(self, code, words=""):
        super().__init__(code, words)
        self.code = code
        self.words = words
        self.version = ""

    def error(self):
        if self.words:
            return self.code + ": " + self.words
        return self.code


def check(manifest, signature, facts):
    """Return the manifest's values; raise Refused with the first code of the contract's table that applies.

    `facts` are of the device: `name`, `board`, `channel`, `device`, `version`, `revision` ("" if it is not known),
    `security_version` (the highest that was healthy here), `keys` {id: modulus in base64}, `serial`, `now_s` (UTC since
    1970, or None), and `slot_bytes` of the second application slot and `room_bytes` for files, each 0 if there is none.
    """
    values = read_manifest(manifest)
    try:
        _check_rights(manifest, signature, values, facts)
    except Refused as refused:
        refused.version = version_of(values)
        raise
    return values


def version_of(values):
    """Return the name that `ota_status` uses: the version, or `keys-SERIAL`."""
    if values["kind"] == "keys":
        return "keys-" + str(values["serial"])
    return values["version"]


def read_manifest(manifest):
    """Return its values, each checked for its form; the signature is not checked here."""
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise Refused("malformed", "%d bytes, the limit is %d" % (len(manifest), MAX_MANIFEST_BYTES))
    try:
        values = json.loads(str(manifest, "utf-8"))
        # With two equal keys, the last would count.
        if _count_keys(values, _MAX_DEPTH) != _colons(manifest):
            raise ValueError("a key twice")
    except (ValueError, RuntimeError) as exc:
        # RuntimeError: too deep.
        raise Refused("malformed", str(exc))
    if type(values) is not dict:
        raise Refused("malformed", "no JSON object")
    for key, kind in (("schema", int), ("kind", str), ("alg", str)):
        if type(values.get(key)) is not kind:
            raise Refused("malformed", key)
    is_supported = values["schema"] == 1 and values["kind"] in ("files", "image", "keys")
    if not is_supported or values["alg"] != "rsa3072-pss-sha256":
        raise Refused("unsupported_schema")
    form = _KEYS_FORM if values["kind"] == "keys" else _UPDATE_FORM
    for key, fits in _FORM + form:
        is_checked = key in values or key not in ("device", "revisions", "allow_downgrade")
        if is_checked and not fits(values.get(key)):
            raise Refused("malformed", key)
    return values


def _count_keys(value, levels):
    """Count the keys of all objects in the value; ValueError if it is too deep or has a number that is not finite."""
    if type(value) is float and value - value != 0:
        raise ValueError("a number that is not finite")
    if type(value) not in (dict, list):
        return 0
    if not levels:
        raise ValueError("too deep")
    count = 0
    if type(value) is dict:
        count = len(value)
        value = value.values()
    return count + sum([_count_keys(member, levels - 1) for member in value])


def _colons(data):
    """Count the colons outside of texts: each key has one behind it."""
    count = 0
    quoted = False
    escaped = False
    for byte in data:
        if quoted and byte < 32:
            raise ValueError("a control character in a text")
        if byte == 0x22 and not escaped:
            quoted = not quoted
        count += byte == 0x3A and not quoted
        escaped = byte == 0x5C and not escaped
    return count


def verify(data, signature, modulus):
    """Return True if the signature is right.

    RSASSA-PSS of RFC 8017, section 8.1.2, with SHA-256, MGF1-SHA-256, a salt of 32 bytes and exponent 65,537.
    """
    number = int.from_bytes(signature, "big")
    n = int.from_bytes(modulus, "big")
    if len(signature) != MODULUS_BYTES or number >= n:
        return False
    em = pow(number, 65537, n).to_bytes(MODULUS_BYTES, "big")
    masked = em[: -_HASH_BYTES - 1]
    h = em[-_HASH_BYTES - 1 : -1]
    if em[-1] != 0xBC or masked[0] & 0x80:
        return False
    mask = b""
    for counter in range((len(masked) + _HASH_BYTES - 1) // _HASH_BYTES):
        mask += sha256(h + counter.to_bytes(4, "big")).digest()
    mixed = int.from_bytes(masked, "big") ^ int.from_bytes(mask[: len(masked)], "big")
    db = mixed.to_bytes(len(masked), "big")
    zeros = len(db) - _HASH_BYTES - 1
    if bytes([db[0] & 0x7F]) + db[1 : zeros + 1] != bytes(zeros) + b"\x01":
        return False
    return sha256(bytes(8) + sha256(data).digest() + db[zeros + 1 :]).digest() == h


def key_id(modulus):
    return hexlify(sha256(SPKI_HEAD + modulus + SPKI_TAIL).digest()[:8]).decode()


def changed_keys(values, keys):
    """Return the keys that the device trusts after this manifest; Refused if none or too many are left."""
    changed = dict(keys)
    for added in values["add"]:
        changed[added["key_id"]] = added["n"]
    for removed in values["remove"]:
        changed.pop(removed, None)
    if not changed:
        raise Refused("no_key_left")
    if len(changed) > MAX_KEYS:
        raise Refused("too_many_keys", "%d, the limit is %d" % (len(changed), MAX_KEYS))
    return changed


def seconds(text):
    """Return the seconds since 1970 of `YYYY-MM-DDThh:mm:ssZ`; ValueError for any other text."""
    data = text.encode()
    if len(data) != 20 or bytes([data[at] for at in (4, 7, 10, 13, 16, 19)]) != b"--T::Z":
        raise ValueError(text)
    parts = (data[:4], data[5:7], data[8:10], data[11:13], data[14:16], data[17:19])
    if not all(digit in _DIGITS for digit in b"".join(parts)):
        raise ValueError(text)
    year, month, day, hour, minute, second = [int(part) for part in parts]
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    is_day = 1 <= month <= 12 and 1 <= day <= days[month - 1]
    is_time = hour <= 23 and max(minute, second) <= 59
    if year < 1970 or not is_day or not is_time:
        raise ValueError(text)
    before = year - 1
    # 719,162 days are before 1970.
    count = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    return (count + sum(days[: month - 1]) + day - 1) * _DAY_S + hour * 3600 + minute * 60 + second


def version(text):
    """Return `MAJOR.MINOR.PATCH` as three numbers; ValueError for any other text."""
    numbers = tuple([int(part) for part in text.split(".") if _of(part, _DIGITS, 1, 5)])
    if ".".join([str(number) for number in numbers]) != text or len(numbers) != 3 or max(numbers) > 65535:
        raise ValueError(text)
    return numbers


def _check_rights(manifest, signature, values, facts):
    key = facts["keys"].get(values["key_id"])
    is_keys = values["kind"] == "keys"
    if key is None:
        raise Refused("unknown_key", values["key_id"])
    if not verify(manifest, signature, a2b_base64(key)):
        raise Refused("bad_signature")
    check_fit(values, facts)
    if facts["now_s"] is None or facts["now_s"] < seconds(values["created"]) - _DAY_S:
        raise Refused("no_clock")
    if facts["now_s"] >= seconds(values["expires"]):
        raise Refused("expired", values["expires"])
    if is_keys:
        if values["serial"] <= facts["serial"]:
            raise Refused("old_serial", "%d, the last one was %d" % (values["serial"], facts["serial"]))
        changed_keys(values, facts["keys"])
    else:
        check_age(values, facts)


def check_fit(values, facts):
    is_keys = values["kind"] == "keys"
    if values["kind"] == "files":
        board = facts["board"]
    else:
        board = facts["board"].split("-small")[0]
    for key, its in (("name", facts["name"]), ("board", board), ("revisions", facts["revision"]),
                     ("device", facts["device"]), ("channel", facts["channel"])):  # fmt: skip
        if key not in values or (is_keys and key not in ("name", "device")):
            continue
        if key == "revisions":
            fits = its in values[key]
        else:
            fits = values[key] == its
        if not fits:
            words = "%s, this device has %s" % (values[key], its)
            if key == "revisions":
                words = "for %s, this one is %s" % (", ".join(values[key]), its or "of none that it knows")
            raise Refused("wrong_" + key.rstrip("s"), words[:200])


def check_age(values, facts):
    """Raise Refused if the update is older than what runs here, or too large for this device."""
    if values["security_version"] < facts["security_version"]:
        words = "%d, here is %d" % (values["security_version"], facts["security_version"])
        raise Refused("old_security_version", words)
    new = version(values["version"])
    # A version that no update made.
    running = version(facts["version"]) if _parses(version, facts["version"]) else (-1,)
    if new == running or (new < running and not values.get("allow_downgrade")):
        raise Refused("old_version", "%s, here runs %s" % (values["version"], facts["version"]))
    is_image = values["kind"] == "image"
    room = facts["slot_bytes"] if is_image else facts["room_bytes"]
    if values["size"] > room:
        code = "no_slot" if is_image else "no_room"
        raise Refused(code, "%d bytes, there is room for %d" % (values["size"], room))


# Forms of the manifest's values


def _of(text, letters, least=1, most=64):
    if type(text) is not str or not least <= len(text) <= most or not _parses(str.encode, text):
        # Half of a surrogate pair has no bytes on CPython.
        return False
    return all(letter in letters for letter in text.encode())


def _parses(parse, value):
    try:
        parse(value if type(value) is str else "")
    except ValueError:
        return False
    return True


def _whole(value, least, most):
    return type(value) is int and least <= value <= most


def _is_key(value):
    try:
        data = a2b_base64(value["n"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    is_odd = len(data) == MODULUS_BYTES and data[0] & 0x80 and data[-1] & 1
    return bool(is_odd) and b2a_base64(data).strip() == value["n"].encode() and value.get("key_id") == key_id(data)


def _list_of(value, fits, most):
    return type(value) is list and len(value) <= most and all(fits(item) for item in value)


_FORM = (
    ("name", lambda v: _of(v, _NAME)),
    ("device", lambda v: _of(v, _NAME)),
    ("created", lambda v: _parses(seconds, v)),
    ("expires", lambda v: _parses(seconds, v)),
    ("key_id", lambda v: _of(v, _HEX, 16, 16)),
)
_KEYS_FORM = (
    ("serial", lambda v: _whole(v, 1, 0x7FFFFFFF)),
    ("add", lambda v: _list_of(v, _is_key, MAX_KEYS)),
    ("remove", lambda v: _list_of(v, lambda id: _of(id, _HEX, 16, 16), 16)),
)
_UPDATE_FORM = (
    ("board", lambda v: _of(v, _LOWER, 1, 32)),
    ("revisions", lambda v: bool(v) and _list_of(v, lambda name: _of(name, _NAME, 1, 32), 16)),
    ("channel", lambda v: _of(v, _LOWER, 1, 32)),
    ("version", lambda v: _parses(version, v)),
    ("security_version", lambda v: _whole(v, 0, 65535)),
    ("sha256", lambda v: _of(v, _HEX, 64, 64)),
    ("size", lambda v: _whole(v, 1, MAX_PAYLOAD_BYTES)),
    ("allow_downgrade", lambda v: type(v) is bool),
)
