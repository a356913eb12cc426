"""Whether an update may be taken: the manifest's form, its signature, its fit. Reads no file, keeps nothing.

CPython and MicroPython run this same file (docs/protocols/ota.md); a board reads it in for an offer and gives it back.
"""

from binascii import a2b_base64, b2a_base64, hexlify
from hashlib import sha256

from strict_json import loads

MAX_MANIFEST_BYTES = 4096
MAX_KEYS = 4
MAX_PAYLOAD_BYTES = 1 << 24
MODULUS_BYTES = 384
_DAY_S = 86400
_HASH_BYTES = 32
_MAX_REVISIONS = 16
_OPTIONAL = ("device", "revisions", "allow_downgrade")
# RFC 5280: a SubjectPublicKeyInfo of an RSA key of 3,072 bits in DER; its modulus, then its exponent, 65,537
SPKI_HEAD = (
    b"\x30\x82\x01\xa2\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
    b"\x05\x00\x03\x82\x01\x8f\x00\x30\x82\x01\x8a\x02\x82\x01\x81\x00"
)
SPKI_TAIL = b"\x02\x03\x01\x00\x01"
# Bytes: MicroPython keeps each letter that it takes out of a text, as a name, for ever
_DIGITS = b"0123456789"
_HEX = b"0123456789abcdef"
_LOWER = b"abcdefghijklmnopqrstuvwxyz"
_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Refused(Exception):
    """`code` is one of docs/protocols/ota.md, `words` are for people and may be empty; `version` "" if unreadable."""

    def __init__(self, code, words=""):
        super().__init__(code, words)
        self.code = code
        self.words = words
        self.version = ""

    def error(self):
        return self.code + (": " + self.words if self.words else "")


class Facts:
    """What the device is. `now_s`: UTC in seconds since 1970, or None; `keys`: id to modulus in base64.

    `slot_bytes` is the size of the second application slot and `room_bytes` the largest payload of files that fits,
    both 0 where there is none. `security_version` is the highest that was healthy here; `revision` of the board, ""
    where nobody told it.
    """

    def __init__(self, name, board, channel, device, version, security_version):
        self.name = name
        self.board = board
        self.channel = channel
        self.device = device
        self.version = version
        self.security_version = security_version
        self.keys = {}
        self.serial = 0
        self.now_s = None
        self.slot_bytes = 0
        self.room_bytes = 0
        self.revision = ""


def check(manifest, signature, facts):
    """The manifest's values; Refused with the first code of the contract's table that holds."""
    values = read_manifest(manifest)
    try:
        _check_rights(manifest, signature, values, facts)
    except Refused as refused:
        refused.version = version_of(values)
        raise
    return values


def version_of(values):
    """What `ota_status` calls it: the version, or `keys-SERIAL`."""
    return "keys-" + str(values["serial"]) if values["kind"] == "keys" else values["version"]


def read_manifest(manifest):
    """Its values, each of its form. Says nothing of who signed it."""
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise Refused("malformed", "%d bytes, the limit is %d" % (len(manifest), MAX_MANIFEST_BYTES))
    try:
        values = loads(manifest)
    except ValueError as exc:
        raise Refused("malformed", str(exc))
    if type(values) is not dict:
        raise Refused("malformed", "no JSON object")
    for key, kind in (("schema", int), ("kind", str), ("alg", str)):
        if type(values.get(key)) is not kind:
            raise Refused("malformed", key)
    known = values["schema"] == 1 and values["kind"] in ("files", "image", "keys")
    if not known or values["alg"] != "rsa3072-pss-sha256":
        raise Refused("unsupported_schema")
    for key, fits in _KEYS_FORM if values["kind"] == "keys" else _UPDATE_FORM:
        if (key in values or key not in _OPTIONAL) and not fits(values.get(key)):
            raise Refused("malformed", key)
    return values


def verify(data, signature, modulus):
    """RSASSA-PSS of RFC 8017, section 8.1.2, with SHA-256, MGF1-SHA-256, a salt of 32 bytes and exponent 65,537."""
    number = int.from_bytes(signature, "big")
    n = int.from_bytes(modulus, "big")
    if len(signature) != MODULUS_BYTES or number >= n:
        return False
    em = pow(number, 65537, n).to_bytes(MODULUS_BYTES, "big")
    masked, h = em[: -_HASH_BYTES - 1], em[-_HASH_BYTES - 1 : -1]
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
    """The keys that the device trusts after this manifest; Refused where that cannot be."""
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
    """Seconds since 1970 of `YYYY-MM-DDThh:mm:ssZ`; ValueError for what is no such time."""
    data = text.encode()
    if len(text) != 20 or bytes([data[at] for at in (4, 7, 10, 13, 16, 19)]) != b"--T::Z":
        raise ValueError(text)
    parts = (text[:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:19])
    if not all(_of(part, _DIGITS) for part in parts):
        raise ValueError(text)
    year, month, day, hour, minute, second = [int(part) for part in parts]
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if year < 1970 or not 1 <= month <= 12 or not 1 <= day <= days[month - 1]:
        raise ValueError(text)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(text)
    before = year - 1
    count = before * 365 + before // 4 - before // 100 + before // 400 - 719162  # days until 1970
    return (count + sum(days[: month - 1]) + day - 1) * _DAY_S + hour * 3600 + minute * 60 + second


def version(text):
    """`MAJOR.MINOR.PATCH` as numbers; ValueError for what is none."""
    parts = text.split(".")
    if len(parts) != 3 or not all(_number_text(part) for part in parts):
        raise ValueError(text)
    return tuple(int(part) for part in parts)


def _check_rights(manifest, signature, values, facts):
    key = facts.keys.get(values["key_id"])
    if key is None:
        raise Refused("unknown_key", values["key_id"])
    if not verify(manifest, signature, a2b_base64(key)):
        raise Refused("bad_signature")
    keys = values["kind"] == "keys"
    _check_fit(values, facts, keys)
    if facts.now_s is None or facts.now_s < seconds(values["created"]) - _DAY_S:
        raise Refused("no_clock")
    if facts.now_s >= seconds(values["expires"]):
        raise Refused("expired", values["expires"])
    if keys:
        if values["serial"] <= facts.serial:
            raise Refused("old_serial", "%d, the last one was %d" % (values["serial"], facts.serial))
        changed_keys(values, facts.keys)
    else:
        _check_age(values, facts)
        _check_space(values, facts)


def _check_fit(values, facts, keys):
    if values["name"] != facts.name:
        raise Refused("wrong_name", "%s, here runs %s" % (values["name"], facts.name))
    board = facts.board if values["kind"] == "files" else facts.board.split("-small")[0]
    if not keys and values["board"] != board:
        raise Refused("wrong_board", "%s, this one is %s" % (values["board"], board))
    if not keys and "revisions" in values and facts.revision not in values["revisions"]:
        words = "for %s, this one is %s" % (", ".join(values["revisions"]), facts.revision or "of none that it knows")
        raise Refused("wrong_revision", words[:200])
    if "device" in values and values["device"] != facts.device:
        raise Refused("wrong_device", values["device"])
    if not keys and values["channel"] != facts.channel:
        raise Refused("wrong_channel", "%s, this device has %s" % (values["channel"], facts.channel))


def _check_age(values, facts):
    if values["security_version"] < facts.security_version:
        raise Refused("old_security_version", "%d, here is %d" % (values["security_version"], facts.security_version))
    new = version(values["version"])
    running = version(facts.version) if _is_version(facts.version) else (-1,)  # one that no update made
    if new == running or (new < running and not values.get("allow_downgrade")):
        raise Refused("old_version", "%s, here runs %s" % (values["version"], facts.version))


def _check_space(values, facts):
    size = values["size"]
    if values["kind"] == "image" and size > facts.slot_bytes:
        raise Refused("no_slot", "%d bytes, the slot has %d" % (size, facts.slot_bytes))
    if values["kind"] == "files" and size > facts.room_bytes:
        raise Refused("no_room", "%d bytes, there is room for %d" % (size, facts.room_bytes))


# Forms of the manifest's values


def _of(text, letters, least=1, most=64):
    return type(text) is str and least <= len(text) <= most and all(letter in letters for letter in text.encode())


def _name(value):
    return _of(value, _LOWER + _UPPER + _DIGITS + b"._-")


def _label(value):
    return _of(value, _LOWER + _DIGITS + b"-", 1, 32)


def _revision(value):
    return _of(value, _LOWER + _UPPER + _DIGITS + b"._-", 1, 32)


def _number_text(text):
    return _of(text, _DIGITS, 1, 5) and (text == "0" or not text.startswith("0")) and int(text) <= 65535


def _is_version(value):
    return _parses(version, value)


def _is_time(value):
    return _parses(seconds, value)


def _parses(parse, value):
    try:
        parse(value if type(value) is str else "")
    except ValueError:
        return False
    return True


def _whole(value, least, most):
    return type(value) is int and least <= value <= most


def _is_key_id(value):
    return _of(value, _HEX, 16, 16)


def _is_modulus(text):
    if type(text) is not str or len(text) != MODULUS_BYTES * 4 // 3:
        return False
    try:
        data = a2b_base64(text)
    except ValueError:
        return False
    return (
        len(data) == MODULUS_BYTES
        and bool(data[0] & 0x80 and data[-1] & 1)
        and b2a_base64(data).strip() == text.encode()
    )


def _is_key(value):
    if type(value) is not dict or not _is_modulus(value.get("n")):
        return False
    return value.get("key_id") == key_id(a2b_base64(value["n"]))


def _list_of(value, fits, most):
    return type(value) is list and len(value) <= most and all(fits(item) for item in value)


_KEYS_FORM = (
    ("name", _name),
    ("device", _name),
    ("serial", lambda v: _whole(v, 1, 0x7FFFFFFF)),
    ("add", lambda v: _list_of(v, _is_key, MAX_KEYS)),
    ("remove", lambda v: _list_of(v, _is_key_id, 16)),
    ("created", _is_time),
    ("expires", _is_time),
    ("key_id", _is_key_id),
)
_UPDATE_FORM = (
    ("name", _name),
    ("board", _label),
    ("revisions", lambda v: bool(v) and _list_of(v, _revision, _MAX_REVISIONS)),
    ("channel", _label),
    ("device", _name),
    ("version", _is_version),
    ("security_version", lambda v: _whole(v, 0, 65535)),
    ("sha256", lambda v: _of(v, _HEX, 64, 64)),
    ("size", lambda v: _whole(v, 1, MAX_PAYLOAD_BYTES)),
    ("created", _is_time),
    ("expires", _is_time),
    ("key_id", _is_key_id),
    ("allow_downgrade", lambda v: type(v) is bool),
)
