state = 1


def step():
    global state
    state += 1
    return state
