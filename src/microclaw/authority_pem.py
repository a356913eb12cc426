"""Proves a host's authority to a device by a fingerprint, over a connection that is not verified. No IO."""

from __future__ import annotations

import hashlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


def unproved_tls() -> ssl.SSLContext:
    """Return a TLS context for fetching `/ca.pem`. It accepts any certificate, as the fingerprint is the proof."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pem_fingerprint(pem: bytes) -> str | None:
    """Return the SHA-256 of the certificate's DER form in hexadecimal, or None unless there is just one."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return None
    if len(certificates) != 1:
        return None
    return hashlib.sha256(certificates[0].public_bytes(Encoding.DER)).hexdigest()
