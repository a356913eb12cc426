from counter import count, bump, LIMIT
import counter

bump()
bump()
print(count, counter.count, LIMIT)
count = 50
print(count, counter.count)
counter.count += 3
bump()
print(counter.count)
