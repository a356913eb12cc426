import left, right

state = 0


def step():
    global state
    state += 100
    return state


print(step(), left.step(), right.step(), left.step(), state, left.state, right.state)
