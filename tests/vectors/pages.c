/* A program that serves pages through the resource "web": the payload of a request is a whole HTTP request, the payload of
 * the response the whole answer. Its page has the links, forms and calls of common sketches, all with absolute paths. */
#include <microclaw.h>
#include <wa-inc/request.h>

static int is_on;
static char answer[12000];
static char last[400];

static const char page[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: program=1\r\nConnection: close\r\n\r\n"
    "<!DOCTYPE html><html><head><title>Lamp</title><style>body{background:url(/back.png)}</style></head><body>"
    "<h1>Lamp</h1><p id=state>?</p><p id=cookie>?</p><p id=api>?</p><p id=answer>?</p>"
    "<a id=on href=\"/led/on\">on</a> <a id=off href=/led/off>off</a>"
    "<form action=\"/name\" method=post><input name=name value=kitchen><button id=send>send</button></form>"
    "<button id=go onclick=\"location.href='/led/on'\">go</button>"
    "<button id=json onclick=\"put()\">json</button>"
    "<script>\n"
    "var url = '/state';\n"
    "fetch(url).then(r => r.text()).then(t => { document.getElementById('state').textContent = t; });\n"
    "try { document.getElementById('cookie').textContent = 'cookie ' + document.cookie; }\n"
    "catch (error) { document.getElementById('cookie').textContent = error.name; }\n"
    "fetch(new URL('/v1/me', location), {credentials: 'include'}).then(r => 'status ' + r.status, e => 'refused')\n"
    ".then(t => { document.getElementById('api').textContent = t; });\n"
    "function put() { var x = new XMLHttpRequest(); x.open('PUT', '/state', true);\n"
    "x.setRequestHeader('Content-Type', 'application/json');\n"
    "x.onload = () => { document.getElementById('answer').textContent = x.responseText; };\n"
    "x.send('{\"on\": 1}'); }\n"
    "</script></body></html>";

static int is_for_path(const char *request, const char *start) { return strncmp(request, start, strlen(start)) == 0; }

static const char *answer_to(const char *request) {
    if (is_for_path(request, "GET / ")) {
        return page;
    }
    if (is_for_path(request, "GET /state ") || is_for_path(request, "PUT /state ")) {
        sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=5\r\n\r\n%s by %.3s", is_on ? "on" : "off",
                request);
        return answer;
    }
    if (is_for_path(request, "GET /led/on ") || is_for_path(request, "GET /led/off ")) {
        is_on = is_for_path(request, "GET /led/on ");
        return "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n";
    }
    if (is_for_path(request, "GET /last ")) {
        sprintf(answer, "HTTP/1.0 200 OK\nContent-Type: text/plain\n\n%s", last);
        return answer;
    }
    if (is_for_path(request, "GET /elsewhere ")) {
        return "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/x\r\n\r\n";
    }
    if (is_for_path(request, "GET /half ")) {
        return "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf";
    }
    if (is_for_path(request, "GET /text ")) {
        return "no HTTP at all";
    }
    if (is_for_path(request, "GET /breaks ")) {
        return "HTTP/1.1 302 Found\r\nLocation: /a\rSet-Cookie: stolen=1\r\n\r\n";
    }
    if (is_for_path(request, "GET /long ")) {
        strcpy(answer, "HTTP/1.1 200 OK\r\n\r\n");
        memset(answer + strlen(answer), 'x', 11000);
        return answer;
    }
    strncpy(last, request, sizeof(last) - 1);
    return "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno such page";
}

static void serve(request_t *request) {
    static char text[2000];
    int length = request->payload_len < 1999 ? request->payload_len : 1999;
    memcpy(text, request->payload, (size_t)length);
    text[length] = 0;
    if (is_for_path(text, "GET /silent ")) {
        return;
    }
    const char *whole = answer_to(text);
    response_t response;
    make_response_for_request(request, &response);
    set_response(&response, CONTENT_2_05, FMT_APP_RAW_BINARY, whole, (int)strlen(whole));
    api_response_send(&response);
}

int main(void) {
    api_register_resource_handler("web", serve);
    return 0;
}
