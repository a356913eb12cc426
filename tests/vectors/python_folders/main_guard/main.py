import tool


def main():
    print(tool.main(), __name__, tool.name())


if __name__ == '__main__':
    main()
