"""Bytes and messages of every protocol, without IO."""
