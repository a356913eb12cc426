calls = []


def counted(function):
    def wrapper(*args):
        calls.append(len(args))
        return function(*args)

    return wrapper
