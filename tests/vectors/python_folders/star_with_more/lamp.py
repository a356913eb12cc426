__all__ = ["on"] + ["off"]
__all__ += ("_dim",)


def on():
    return 1


def off():
    return 0


def _dim():
    return 2
