class PartError(Exception):
    pass


def fail(n):
    error = n
    try:
        raise PartError(error)
    except PartError as error:
        print('passes')
        raise
