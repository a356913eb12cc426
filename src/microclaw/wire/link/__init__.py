"""The microclaw link (docs/protocols/link.md): frames, messages, CBOR, and the session that both ends run. No IO."""
