def area():
    return 7


def size():
    return 8
