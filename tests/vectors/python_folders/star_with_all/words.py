__all__ = ['hello']


def hello():
    return 'hello'


def secret():
    return 'secret'
