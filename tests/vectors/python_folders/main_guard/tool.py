def main():
    return 'main of tool'


def name():
    return __name__


if __name__ == '__main__':
    import not_there

    not_there.run()
