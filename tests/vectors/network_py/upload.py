# talks to api.example.org:80
import time
import urequests
import ujson

KEY = "ABC"
number = 0
while number < 3:
    url = f"http://api.example.org/update?api_key={KEY}&field1={number}"
    answer = urequests.get(url)
    print("answer", answer.text)
    answer.close()
    number += 1
    time.sleep(1)
data = ujson.dumps({"sum": number})
print(urequests.post("http://api.example.org/sum", headers={"content-type": "application/json"}, data=data).json()["ok"])
