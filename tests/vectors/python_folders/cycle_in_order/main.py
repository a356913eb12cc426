import first

print(first.total(), first.LATE)
