"""The rules of docs/protocols/link.md by id, each with who must keep it (data only). Tries nothing.

The page has the same ids and sentences; a test compares them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

Keeper: TypeAlias = Literal["host", "device", "both"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`untried` says why no check tries it, for those that none does."""

    rule_id: str
    keeper: Keeper
    text: str
    untried: str | None = None

    def is_for(self, keeper: Literal["host", "device"]) -> bool:
        return self.keeper in ("both", keeper)


_UNTRIED: Final = {
    "L-97": "it takes a day",
    "L-98": "a person revokes: microclaw device revoke NAME",
    "L-99": "a person switches it off",
}
_TABLE: Final = """
# Trust
L-01 host: TLS 1.2 or newer; an older one is refused.
L-02 host: `GET /ca.pem` answers one PEM certificate; the SHA-256 of its DER form is the fingerprint that was
    provisioned.
L-03 host: The server's certificate verifies against that authority, for the host as provisioned and for
    `host.microclaw.internal`.
L-04 device: It refuses an authority with another fingerprint, and a server that its authority did not sign; it asks
    such a server for nothing but `/ca.pem`.
L-05 both: Path `/link`, subprotocol `microclaw.v1`, no compression; a host refuses a WebSocket without a
    subprotocol (HTTP 400).
L-06 host: A WebSocket that offers later subprotocols alone is opened without one, told `error`
    (`unsupported_version`), closed with 4400.
# Frames
L-10 both: A text message ends the connection with 1003.
L-11 both: An empty message, and an audio frame without audio, end it with 4400.
L-12 both: A CONTROL payload over 16,384 bytes ends it with 4413, and so does a message that claims more.
L-13 both: An audio payload over 2,048 bytes ends it with 4413.
L-14 both: A frame of an unknown type is ignored.
L-15 both: Audio outside a stream is dropped, and nothing else happens.
L-16 both: Audio in the wrong direction ends it with 4400 (`unexpected_message`).
# Messages
L-20 both: What is not CBOR as this page has it ends the connection with 4400 (`malformed`).
L-21 both: Unknown keys are ignored, in the envelope and in a body.
L-22 both: `v` other than 1 is told `error` (`unsupported_version`), then 4400.
L-23 both: A message of an unknown type is ignored once the link is ready; a durable one is acked and told `error`
    (`unknown_type`).
L-24 both: A message that has no place in its phase, or that only the other end may send, ends it with 4400
    (`unexpected_message`).
L-25 both: Every message that an end sends is one of link.cddl, within the limits of size.
# Pairing
L-30 host: Without a credential only `pair_request` is taken; `hello` ends with 4401 (`not_authenticated`).
L-31 host: A `pair_request` without a secret is answered with `pair_code` (`re`): six digits and how long they are
    good, in seconds.
L-32 host: A `pair_request` with the right secret is answered with `pair_done` (`re`) at once.
L-33 host: The certificate is the authority's, for the key of the request, for ten years, for client authentication,
    with one name: the URI `urn:microclaw:device:ID`.
L-34 host: A token is `mc1_ID_` and 43 characters of base64url.
L-35 host: A wrong secret ends with 4401 (`wrong_secret`).
L-36 host: A request that is not signed or not for a P-256 key, or a board's name out of its form, ends with 4400.
L-37 device: A `pair_request` has the board's name and either a signed PKCS #10 request (DER, P-256, at most 2,048
    bytes) or `token_wanted`, and the secret when one was provisioned.
L-38 device: After `pair_done` it comes back within 5 s with that credential, in a new TLS session.
L-39 both: Pings are answered while a device is being paired.
# Greeting
L-40 host: `hello` is answered with `welcome` within 5 s; `rx_epoch` and `rx_seq` are what the host applied of this
    device.
L-41 host: A connection without a greeting within 5 s ends with 4408.
L-42 device: With a credential the first message is `hello`; `boot_id` stays within a boot, `tx_epoch` until it is
    renewed, and `rx_seq` is what it applied.
L-43 host: A newer connection of a device ends the older one with 4409.
L-44 host: A token in `Authorization: Bearer TOKEN` of the WebSocket's request is as good as a certificate.
# Pings
L-50 both: A `ping` is answered with `pong`: `re`, the same `n` and `t0`, its own clock in `t1` and `t2`.
L-51 both: A ping goes every `heartbeat_s`; when a third falls due and two are unanswered, the connection ends with
    4408.
# Durable messages
L-60 both: A durable message is acked once its effect is committed, at the latest 100 ms after.
L-61 both: A number that was seen is dropped and acked again: no second effect.
L-62 both: A message that comes again under a new number (its `id` is among the last 256) is acked and has no second
    effect.
L-63 both: What was not acked comes again on the next connection, with the same number and `id`; what was acked does
    not.
L-64 both: A missing number ends the connection with 4400 (`sequence_gap`).
L-65 both: Numbers of an epoch that is new to the receiver begin at 1.
L-66 both: An end whose numbers the other's cursor does not fit renews its epoch: a host before `welcome`, a device
    by closing with 1000 and coming back at once.
L-67 both: `seq` on a message that is never durable, or none on one that always is, ends it with 4400 (`malformed`).
L-68 both: An `ack` of a number that was never given ends it with 4400 (`malformed`).
L-69 both: What is not acked within 30 s goes again on the same connection.
# Calls
L-70 device: A `call` is answered with `result`, `re` its id; a durable one with a durable `result`.
L-71 device: A call, if not idempotent, that comes again with its id in one boot gets the same answer and is not redone.
L-72 device: A method that is not among `capabilities` is answered `not_supported`.
L-73 device: A call whose `expires_ms` is over is not carried out and answered `expired`.
L-74 device: `notify`, `ui_state` and messages about speech that it cannot play or show are taken without harm.
# Tasks
L-80 host: Each `run_task` has exactly one final `task_status`, with `re`; code (`sandbox`) that the host does not
    run ends as `failed`.
L-81 host: `cancel_task` for a task that does not run is answered with `error` (`unknown_task`).
L-82 host: `start_asr_stream` is heard, or answered with `cancel_stream` and `error` (`no_listener`).
# Lifetime
L-90 host: A renewal before the last third of a certificate's life, or with a token, ends with 4400 (`too_early`).
L-91 device: A renewal is a `pair_request` with `csr` instead of `hello`, by the old certificate; the new one is
    used in a new TLS session.
L-92 device: A `token` message is kept before it is used, and the next connection brings the new one.
L-93 device: After `bye` with `retry_after_s` it comes back no earlier than that; after a close without it no
    earlier than 0.5 s, and within 60 s.
L-94 device: After 4401, 4403 and 4409 it waits at least 60 s, and never throws its credential away by itself.
L-95 host: A `bye` of the device ends the connection with 1000.
L-96 host: More messages than the limit end with 4429; without a credential that is 20 at once and 5 a second.
L-97 host: A token older than a day is followed by `token` after `welcome`; the old one is good until the new one is
    used, and opens nothing after that.
L-98 host: Revoking a device ends its connection with 4403 at once.
L-99 device: Switched off in order it says `bye` and closes with 1001.
"""


def _read(table: str) -> tuple[Rule, ...]:
    """One rule an entry, `L-NN KEEPER: TEXT`; a line that begins with spaces goes on with the one before."""
    found = re.finditer(r"^(L-\d\d) (host|device|both): (.*(?:\n    .*)*)$", table, re.M)
    return tuple(Rule(row[1], cast(Keeper, row[2]), " ".join(row[3].split()), _UNTRIED.get(row[1])) for row in found)


RULES: Final = _read(_TABLE)
BY_ID: Final = {rule.rule_id: rule for rule in RULES}
