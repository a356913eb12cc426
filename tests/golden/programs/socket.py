import socket  # noqa: F401

print(1)
