state = 2


def step():
    global state
    state += 10
    return state
