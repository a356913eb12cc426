# talks to www.example.org:80
import usocket

def http_get(url):
    _, _, host, path = url.split('/', 3)
    addr = usocket.getaddrinfo(host, 80)[0][-1]
    s = usocket.socket()
    s.connect(addr)
    s.send(bytes('GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n' % (path, host), 'utf8'))
    text = ''
    while True:
        data = s.recv(100)
        if data:
            text += str(data, 'utf8')
        else:
            break
    s.close()
    return text

print(http_get('http://www.example.org/ks/test.html').split('\r\n\r\n')[-1])
