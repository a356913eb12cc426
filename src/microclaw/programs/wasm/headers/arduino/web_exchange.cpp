/* arduino/web_exchange.h on wa-inc/request.h. No global object here has a constructor: see entry/constructors.c. */
#include "web_exchange.h"
#include "../glue/requests.h"

enum { WAITING = 4, HOST_WAITS_MS = 10000, HEAD_BYTES = 128, COPIES = 4 };

static WebExchange *waiting[WAITING]; /* the oldest first */
static WebServing serving;
static void *served;

/* RFC 9110, section 15, and those that are registered besides. */
static const char *text_of(int status) {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
    }
}

static void begin_with_room(WebExchange *exchange) {
    static const char room[RESPONSE_HEAD] = {};
    exchange->answer.clear();
    exchange->answer.concat(room, sizeof room);
}

void microclaw_begin_answer(WebExchange *exchange, int status, const char *type, const String &headers, unsigned size) {
    begin_with_room(exchange);
    String &answer = exchange->answer;
    answer.reserve(RESPONSE_HEAD + HEAD_BYTES + headers.length() + size);
    answer += "HTTP/1.1 ";
    answer += status;
    answer += " ";
    answer += text_of(status);
    answer += "\r\nContent-Type: ";
    answer += type;
    answer += "\r\n";
    answer += headers;
    answer += "\r\n";
}

static void turn_away(WebExchange *exchange, const char *reason) {
    microclaw_begin_answer(exchange, 503, "text/plain", "", 0);
    exchange->answer += reason;
    microclaw_answer(exchange);
    microclaw_release(exchange);
}

static void add_to_waiting(WebExchange *exchange) {
    for (auto &place : waiting) {
        if (!place) {
            place = exchange;
            return;
        }
    }
    turn_away(exchange, "the program is busy\n");
}

static void on_request(request_t *request) {
    auto exchange = new WebExchange;
    exchange->received_ms = millis();
    exchange->message = request->mid;
    exchange->sender = request->sender;
    exchange->is_open = true;
    unsigned size = (unsigned)request->payload_len;
    if (!microclaw_has_room(COPIES * size)) {
        turn_away(exchange, "the program has no memory left for this request\n");
        return;
    }
    begin_with_room(exchange);
    exchange->received.concat((const char *)request->payload, size);
    if (serving) {
        serving(served, exchange);
    } else {
        add_to_waiting(exchange);
    }
}

bool microclaw_has_room(unsigned bytes) {
    void *volatile block = malloc(bytes); /* or the compiler leaves it out */
    free(block);
    return block || !bytes;
}

void microclaw_open_web(WebServing serve, void *server) {
    serving = serve;
    served = server;
    api_register_resource_handler("web", on_request);
}

WebExchange *microclaw_next_exchange() {
    while (waiting[0]) {
        WebExchange *exchange = waiting[0];
        memmove(waiting, waiting + 1, sizeof waiting - sizeof waiting[0]);
        waiting[WAITING - 1] = nullptr;
        if (microclaw_is_waited_for(exchange)) {
            return exchange;
        }
        microclaw_release(exchange);
    }
    return nullptr;
}

bool microclaw_is_waited_for(const WebExchange *exchange) {
    return exchange->is_open && millis() - exchange->received_ms < HOST_WAITS_MS;
}

void microclaw_answer(WebExchange *exchange) {
    if (!exchange->is_open) {
        return;
    }
    exchange->is_open = false;
    request_t request = {};
    response_t response;
    request.mid = exchange->message;
    request.sender = exchange->sender;
    make_response_for_request(&request, &response);
    set_response(&response, CONTENT_2_05, FMT_APP_RAW_BINARY, nullptr, (int)exchange->answer.length() - RESPONSE_HEAD);
    microclaw_send_response(&response, exchange->answer.begin());
}

void microclaw_release(WebExchange *exchange) {
    if (--exchange->users == 0) {
        delete exchange;
    }
}
