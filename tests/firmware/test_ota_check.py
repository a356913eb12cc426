"""Offers that a device refuses, with their codes, on CPython and on MicroPython, and the plan's table."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.firmware.conftest import ROOT, micropython
from tests.firmware.ota_offers import NOW, keys_manifest, manifest, packed, signer

from microclaw.hardware.firmware_modules import ota_check, ota_plan

SCRIPT = """
import gc, json, ota_check
from binascii import unhexlify
for line in open(WORDS[0]):
    data, signature, given = json.loads(line)
    try:
        print("taken", ota_check.version_of(ota_check.check(unhexlify(data), unhexlify(signature), given)))
    except ota_check.Refused as refused:
        print(refused.code, refused.version)
"""


def facts(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "microclaw-firmware",
        "board": "esp32s3",
        "channel": "stable",
        "device": "d-1",
        "version": "1.3.0",
        "security_version": 3,
        "keys": {signer().key_id: signer().n},
        "serial": 1,
        "now_s": ota_check.seconds(NOW),
        "slot_bytes": 0,
        "room_bytes": 200_000,
        "revision": "b2",
    }
    return given | changes


def checked(data: bytes, signature: bytes, given: dict[str, Any]) -> str:
    try:
        return f"taken {ota_check.version_of(ota_check.check(data, signature, given))}"
    except ota_check.Refused as refused:
        return f"{refused.code} {refused.version}"


class Case:
    """An offer and the answer that is right; `raw` is signed as it is, `signature` None: by the manifest's key."""

    def __init__(
        self, answer: str, values: dict[str, Any] | bytes, *, signature: bytes | None = None, **given: Any
    ) -> None:
        self.answer = answer
        if isinstance(values, bytes):
            self.data = values
        else:
            self.data = packed(values)
        if signature is None:
            self.signature = signer().sign(self.data)
        else:
            self.signature = signature
        self.given = given


def form_cases() -> list[Case]:
    """The cases that are no manifest, or one of another schema."""
    good = packed(manifest())
    required = list(manifest())
    wrong: dict[str, list[Any]] = {
        "schema": ["1", True],
        "name": ["", "a b", "x" * 65, "\ud800"],
        "board": ["ESP32", "x" * 33],
        "revisions": ["b2", [], ["b 2"], ["x" * 33], ["r"] * 17],
        "channel": ["Stable", ""],
        "device": [7, "", None],
        "version": ["1.2", "1.2.3.4", "01.2.3", "1.2.65536", "1..3", 1, "1.2.3 ", "1_0.2.3", "٣.0.0"],
        "security_version": [-1, 65536, "3", True],
        "sha256": ["9F" * 32, "9f" * 31],
        "size": [0, -1, 1 << 24 | 1, 1.5],
        "created": ["2026-11-22 10:00:00Z", "2026-02-29T10:00:00Z", "2026-11-22T24:00:00Z", "1969-12-31T23:59:59Z"],
        "expires": ["2026-13-01T00:00:00Z", "2026-11-22T10:00:00+", 1],
        "key_id": ["abc", signer().key_id.upper() + "A"],
        "allow_downgrade": ["true", None],
    }
    bad = [good.replace(f'"{key}":'.encode(), b'"x":') for key in required]
    bad += [packed({**manifest(), key: value}) for key, values in wrong.items() for value in values]
    bad += [good[:-1] + more for more in (b',"version":"9.9.9"}', b',"verSion":1,"ver\\u0053ion":2}')]
    bad += [good + b"x", b"[" + good + b"]", good.replace(b'"files"', b"'files'"), b"", b"\x00" * 100, b"{" * 4000]
    nested = b"[" * 5 + b"]" * 5
    bad += [good[:-1] + b',"x":' + x + b"}" for x in (b'"' + b"x" * 4096 + b'"', nested, b'"\xff"', b'"a\nb"', b"NaN")]
    later = [
        packed({"schema": 2, "kind": "files", "alg": "rsa3072-pss-sha256"}),
        *(packed(manifest(**change)) for change in ({"kind": "radio"}, {"alg": "rsa2048-pkcs1"}, {"alg": "none"})),
    ]
    odd = b" " + good[:-1] + b',"x":[1.5e3,-0,{"\\u00e9":null}],"y":"\xc3\xa9\\n\\/"} \r\n'
    return [
        *(Case("malformed ", data) for data in bad),
        *(Case("unsupported_schema ", data) for data in later),
        Case("taken 1.4.0", odd),
    ]


def signature_cases() -> list[Case]:
    good = packed(manifest())
    right = signer().sign(good)
    n = int.from_bytes(signer().modulus, "big")
    added = int.from_bytes(right, "big") + n
    other = packed(manifest(version="1.5.0"))
    bad = [
        signer(1).sign(good),
        signer().sign(other),
        b"",
        bytes(384),
        bytes(383) + b"\x01",
        (n - 1).to_bytes(384, "big"),
    ]
    bad += [b"\x00" + right, right[:-1], *(signer().sign(good, salt_bytes=salt) for salt in (0, 64))]
    if added < 1 << 3072:  # the same number above the modulus is no signature
        bad.append(added.to_bytes(384, "big"))
    return [
        Case("unknown_key 1.4.0", manifest(key_id=signer(1).key_id)),
        Case("unknown_key 1.4.0", good, keys={}),
        *(Case("bad_signature 1.4.0", good, signature=signature) for signature in bad),
        Case("taken 1.5.0", other),
        Case("bad_signature 1.5.0", other, signature=right),
    ]


def fit_cases() -> list[Case]:
    """Signed by the right key, and still not for this device, not now, or too old."""
    now = ota_check.seconds
    return [
        Case("taken 1.4.0", manifest()),
        Case("taken 1.4.0", manifest(device="d-1")),
        Case("wrong_name 1.4.0", manifest(name="other", board="esp32", device="d-2")),
        Case("wrong_board 1.4.0", manifest(board="esp32c3")),
        Case("wrong_board 1.4.0", manifest(board="esp32"), board="esp32-small"),
        Case("taken 1.4.0", manifest(board="esp32", kind="image"), board="esp32-small", slot_bytes=1 << 20),
        Case("taken 1.4.0", manifest(revisions=["b1", "b2"])),
        Case("taken 1.4.0", manifest(), revision=""),
        Case("wrong_revision 1.4.0", manifest(revisions=["b1", "b22"])),
        Case("wrong_revision 1.4.0", manifest(revisions=["b2"]), revision=""),
        Case("wrong_device 1.4.0", manifest(device="d-2")),
        Case("wrong_device 1.4.0", manifest(device="d-1"), device=""),
        Case("wrong_channel 1.4.0", manifest(channel="beta")),
        Case("no_clock 1.4.0", manifest(), now_s=None),
        Case("no_clock 1.4.0", manifest(), now_s=now("2026-11-21T09:59:59Z")),
        Case("taken 1.4.0", manifest(), now_s=now("2026-11-21T10:00:00Z")),
        Case("taken 1.4.0", manifest(), now_s=now("2027-02-20T09:59:59Z")),
        Case("expired 1.4.0", manifest(), now_s=now("2027-02-20T10:00:00Z")),
        Case("old_security_version 1.2.0", manifest(security_version=2, version="1.2.0", allow_downgrade=True)),
        Case("old_version 1.2.9", manifest(version="1.2.9")),
        Case("taken 1.2.9", manifest(version="1.2.9", allow_downgrade=True)),
        Case("old_version 1.3.0", manifest(version="1.3.0", allow_downgrade=True)),
        Case("taken 1.10.0", manifest(version="1.10.0")),
        Case("no_slot 1.4.0", manifest(kind="image", size=4097), slot_bytes=4096),
        Case("taken 1.4.0", manifest(kind="image", size=4096), slot_bytes=4096, room_bytes=0),
        Case("no_room 1.4.0", manifest(size=200_001)),
    ]


def keys_cases() -> list[Case]:
    one = {"key_id": signer(1).key_id, "n": signer(1).n}
    five = {f"{n:016x}": signer(1).n for n in range(4)}
    even = bytes([*signer(1).modulus[:-1], signer(1).modulus[-1] ^ 1])
    return [
        Case("taken keys-2", keys_manifest()),
        Case("taken keys-2", keys_manifest(remove=[])),
        Case("taken keys-2", keys_manifest(device="d-1")),
        Case("wrong_device keys-2", keys_manifest(device="d-2")),
        Case("wrong_name keys-2", keys_manifest(name="other")),
        Case("old_serial keys-1", keys_manifest(serial=1)),
        Case("no_key_left keys-2", keys_manifest(add=[])),
        Case("no_key_left keys-2", keys_manifest(remove=[signer().key_id, signer(1).key_id])),
        Case("too_many_keys keys-2", keys_manifest(remove=[]), keys={signer().key_id: signer().n, **five}),
        Case("unknown_key keys-2", keys_manifest(), keys={signer(1).key_id: signer(1).n}),
        Case("expired keys-2", keys_manifest(), now_s=ota_check.seconds("2027-03-01T00:00:00Z")),
        Case("no_clock keys-2", keys_manifest(), now_s=None),
        *(
            Case("malformed ", keys_manifest(**{name: value}))
            for name, values in (
                ("add", [[{**one, "key_id": "0" * 16}], [{**one, "n": signer().n}], [{**one, "n": one["n"][:-4]}]]),
                ("add", [[{"key_id": ota_check.key_id(even), "n": base64.b64encode(even).decode()}]]),
                ("add", [[one["key_id"]], one]),
                ("remove", ["all", ["x"]]),
                ("serial", [0, True]),
            )
            for value in values
        ),
    ]


def on_micropython(tmp_path: Path, given: list[Case]) -> list[str]:
    path = tmp_path / "offers"
    rows = [[case.data.hex(), case.signature.hex(), facts(**case.given)] for case in given]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return micropython(SCRIPT, str(path)).split("\n")[:-1]


def test_each_offer_gets_its_code_and_micropython_says_the_same(tmp_path: Path) -> None:
    given = form_cases() + signature_cases() + fit_cases() + keys_cases()
    wanted = [(case.data[:900], case.answer) for case in given]
    for found in ([checked(c.data, c.signature, facts(**c.given)) for c in given], on_micropython(tmp_path, given)):
        assert [*zip([case.data[:900] for case in given], found, strict=True)] == wanted


def test_no_changed_byte_is_taken(tmp_path: Path) -> None:
    """Every byte of the manifest, and some of the signature; MicroPython takes none either."""
    good = packed(manifest())
    right = signer().sign(good)
    changed = [Case("", _flipped(good, at), signature=right) for at in range(len(good))]
    changed += [Case("", good, signature=_flipped(right, at)) for at in range(0, 384, 16)]
    found = [checked(case.data, case.signature, facts()).split()[0] for case in changed]
    assert set(found) <= {"malformed", "unsupported_schema", "unknown_key", "bad_signature"}
    assert found.count("bad_signature") > 100
    assert "taken" not in {line.split()[0] for line in on_micropython(tmp_path, changed)}


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


PAGE = (ROOT / "docs/protocols/ota.md").read_text()


def test_the_table_is_that_of_the_page() -> None:
    rows = PAGE.split("| state | next |\n| --- | --- |\n")[1].split("\n\n")[0].splitlines()
    found: dict[str, set[str]] = {}
    for row in rows:
        first, after = row.split("|")[1:3]
        names = set(after.replace("(after a power cut: at the offset that is in flash)", "").split("`")[1::2])
        for state in first.split("`")[1::2]:
            found[state] = names - {state}
    assert {state: set(after) for state, after in ota_plan.TABLE.items()} == found
