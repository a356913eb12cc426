from first import LATE, Base


def text():
    return Base().name() + str(LATE)
