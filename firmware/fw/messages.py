"""The link's messages: what a device says as bytes, and what a host may say (docs/protocols/link.cddl). No IO."""

import calendar
import os

import cbor
from websocket import Breach

_BYTES = (bytes, bytearray)
_KINDS = {"b": _BYTES, "m": dict, "n": int, "s": str, "t": bool}
# What a body of the host must have, each with the letter of its kind. What has no row is not looked at, or may never
# come from a host. One text takes less memory than a dict.
BODIES = """
welcome session:b host:m time_ms:n heartbeat_s:n tx_epoch:b rx_seq:n
token token:s expires_ms:n
error code:s message:s fatal:t
bye reason:s
ping n:n t0:n
pong n:n t0:n t1:n t2:n
ack seq:n
pair_code code:s expires_s:n
pair_done token:s
call method:s params:m idempotent:t
notify text:s speak:t
task_status task:s state:s
ota_offer manifest:b signature:b
ota_cancel version:s
fetched status:n headers:m size:n
fetch_piece data:b
"""
_OURS = (
    "hello pair_request start_asr_stream stop_asr_stream run_task cancel_task result event telemetry log ota_status "
    "blob_read fetch"
)
_ALWAYS = ("notify", "ota_offer", "ota_cancel")
_ENDED = ("done", "failed", "cancelled")


def encode(kind, body, re=None, out=None, id=None):
    message = {"v": 1, "type": kind, "id": id or os.urandom(16), "ts": calendar.now_ms(), "body": body}
    if re is not None:
        message["re"] = re
    return cbor.dumps(message, out)


def checked(message):
    """Return type, body, `re` and `seq` of a message; ValueError or KeyError if the page does not allow it."""
    if not isinstance(message, dict):
        raise ValueError("not a map")
    if message["v"] != 1 or message["v"] is True:
        raise Breach(4400, "unsupported_version", "this board speaks version 1")
    type = message["type"]
    body = message["body"]
    ts = message["ts"]
    has_content = isinstance(type, str) and isinstance(body, dict)
    if not has_content or len(message["id"]) != 16 or not _is_whole(ts):
        raise ValueError("not an envelope")
    re = message.get("re")
    seq = message.get("seq")
    is_wrong = "re" in message and (not isinstance(re, _BYTES) or len(re) != 16)
    if is_wrong or not isinstance(message["id"], _BYTES):
        raise ValueError("id and re are 16 bytes")
    if "seq" in message and (not _is_whole(seq) or not seq):
        raise ValueError("seq is a number from 1")
    if type in _OURS.split(" "):
        raise Breach(4400, "unexpected_message", "only a device sends {}".format(type))
    is_ours = is_known(type)
    at = BODIES.find("\n%s " % type) + 1
    for part in BODIES[at : BODIES.find("\n", at)].split(" ")[1:] if is_ours else ():
        value = body[part[:-2]]
        kind = part[-1]
        if not isinstance(value, _KINDS[kind]) or (kind == "n" and not _is_whole(value)):
            raise ValueError("{} of {}".format(part[:-2], type))
    for name in ("expires_ms", "retry_after_s", "ttl_ms"):
        if name in body and is_ours and not _is_whole(body[name]):
            raise ValueError("{} of {}".format(name, type))
    durable = type in _ALWAYS or (type == "task_status" and body["state"] in _ENDED)
    is_checked = is_ours or type in ("ui_state", "cancel_stream") or type[:4] in ("asr_", "tts_")
    if is_checked and (seq is None if durable else seq is not None and type != "call"):
        raise ValueError("{} {} seq".format(type, "without" if durable else "with"))
    return type, body, re, seq


def is_known(type):
    """Return True if a message of that type has a row in `BODIES`."""
    return type.replace("_", "").isalpha() and "\n%s " % type in BODIES


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def is_late(body):
    until = body.get("expires_ms")
    return until is not None and calendar.is_set() and calendar.now_ms() >= until
