import hidden

max = 5
print(max, hidden.biggest([1, 3, 2]), hidden.sum([1]))
print(sum([1, 2]))
