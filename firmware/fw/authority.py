"""Fetches the host's authority by its fingerprint: before there is one, or without a clock. dial.py loads it."""

import binascii
import calendar
import hashlib

import tls
from binding import once


async def fetch(settings, board, dial):
    """Fetch the authority's certificate and check it by its fingerprint.

    Nothing else of this connection is trusted, except the date if the board has no clock: that is as good as leaving
    dates out of the check, which link.md allows.
    """
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_NONE
    certificates = []

    async def ask(ws):
        status, headers = await ws.get(settings.get("host"), "/ca.pem", "Connection: close\r\n")
        size = int(headers.get(b"content-length", 0))
        if status != 200 or not 0 < size <= 16384:
            raise ValueError("no authority there: HTTP {}".format(status))
        _, _, rest = str(await ws.read(size), "utf-8").partition("-----BEGIN CERTIFICATE-----")
        der = binascii.a2b_base64(rest.partition("-----END CERTIFICATE-----")[0])
        if binascii.hexlify(hashlib.sha256(der).digest()).decode() != settings.get("ca_sha256"):
            raise ValueError("another authority answers at {}".format(settings.get("host")))
        if not calendar.is_set() and b"date" in headers:
            board.set_time(once("ntp").seconds_of(headers[b"date"].decode()) * 1000)
        certificates.append(der)

    (await dial(settings, context, ask))[0].abort()
    if settings.authority() is None:
        settings.keep_authority(certificates[0])
    return certificates[0]
