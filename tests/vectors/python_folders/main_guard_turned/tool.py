DEBUG = True


def double(number):
    return 2 * number


if "__main__" == __name__:
    import tester
if __name__ == "__main__" and DEBUG:
    import tester
