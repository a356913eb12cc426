import _thread  # noqa: F401

print(1)
