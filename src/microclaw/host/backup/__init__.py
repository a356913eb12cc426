"""The home as one encrypted file, and a home from it."""
