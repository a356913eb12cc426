"""Unmodified xiaozhi firmware as devices of this host (docs/protocols/xiaozhi.md)."""
