STATE = 3


def on():
    return STATE
