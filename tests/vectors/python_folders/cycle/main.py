import ping

print(ping.count(4))
