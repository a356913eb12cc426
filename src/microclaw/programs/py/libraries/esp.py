"""The functions of `esp` that do nothing to the board."""


def osdebug(*level):
    pass


def flash_id():
    return 0


def flash_size():
    return 4 * 1024 * 1024
