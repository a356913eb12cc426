import dht

print(dht.DHT22(4).measure())
