/* The requests, responses and events of wa-inc/request.h. Layout of what travels: docs/protocols/wasmachine.md, numbers are
 * big-endian. A message without an answer ends after five seconds, as in WAMR's own library. */
#include "requests.h"

int after(unsigned ms, void (*task)(void));
void cancel(int timer);
extern int microclaw_fired_timer; /* timers.c */
void wasm_register_resource(const char *url);
void wasm_sub_event(const char *url);
void wasm_post_request(const char *buffer, int size);
int wasm_response_send(const char *buffer, int size);
void microclaw_take_requests(void); /* on_request.c */

enum { MAX_HANDLERS = 8, MAX_WAITING = 8, TIMEOUT_MS = 5000, VERSION = 1, REQUEST_HEAD = 18 };

static struct {
    const char *url; /* 0: free */
    request_handler_f handle;
    bool events;
} handlers[MAX_HANDLERS];
static struct {
    response_handler_f handle; /* 0: free */
    void *user_data;
    uint32_t mid;
    int timer;
} waiting[MAX_WAITING];

static void put(char *at, int bytes, uint32_t value) {
    while (bytes--) {
        at[bytes] = (char)value;
        value >>= 8;
    }
}

static uint32_t take(const char *at, int bytes) {
    uint32_t value = 0;
    while (bytes--) {
        value = value << 8 | (uint8_t)*at++;
    }
    return value;
}

static bool add_handler(const char *url, request_handler_f handler, bool events) {
    for (int i = 0; handler && i < MAX_HANDLERS; i++) {
        bool same = handlers[i].url && handlers[i].events == events && strcmp(handlers[i].url, url) == 0;
        if (same || !handlers[i].url) {
            const char *kept = same ? handlers[i].url : strdup(url);
            if (!kept) {
                return false;
            }
            handlers[i].url = kept;
            handlers[i].handle = handler;
            handlers[i].events = events;
            if (!same) {
                microclaw_take_requests();
                (events ? wasm_sub_event : wasm_register_resource)(url);
            }
            return true;
        }
    }
    return false;
}

bool api_register_resource_handler(const char *url, request_handler_f handler) { return add_handler(url, handler, false); }

bool api_subscribe_event(const char *url, request_handler_f handler) { return add_handler(url, handler, true); }

static bool post(const request_t *request) {
    int url_size = (int)strlen(request->url) + 1;
    int size = REQUEST_HEAD + url_size + request->payload_len;
    char *packet = malloc((size_t)size);
    if (!packet) {
        return false;
    }
    packet[0] = VERSION;
    packet[1] = (char)request->action;
    put(packet + 2, 2, (uint32_t)request->fmt);
    put(packet + 4, 4, request->mid);
    put(packet + 8, 4, (uint32_t)request->sender);
    put(packet + 12, 2, (uint32_t)url_size);
    put(packet + 14, 4, (uint32_t)request->payload_len);
    memcpy(packet + REQUEST_HEAD, request->url, (size_t)url_size);
    if (request->payload_len) {
        memcpy(packet + REQUEST_HEAD + url_size, request->payload, (size_t)request->payload_len);
    }
    wasm_post_request(packet, size);
    free(packet);
    return true;
}

bool api_publish_event(const char *url, int fmt, void *payload, int payload_len) {
    request_t request;
    return post(init_request(&request, (char *)url, COAP_EVENT, fmt, payload, payload_len));
}

static void end_wait(int place, response_t *response) {
    response_handler_f handle = waiting[place].handle;
    waiting[place].handle = 0;
    cancel(waiting[place].timer);
    handle(response, waiting[place].user_data);
}

static void time_out(void) {
    for (int i = 0; i < MAX_WAITING; i++) {
        if (waiting[i].handle && waiting[i].timer == microclaw_fired_timer) {
            end_wait(i, 0);
            return;
        }
    }
}

void api_send_request(request_t *request, response_handler_f response_handler, void *user_data) {
    for (int i = 0; response_handler && i < MAX_WAITING; i++) {
        if (waiting[i].handle) {
            continue;
        }
        waiting[i].user_data = user_data;
        waiting[i].mid = request->mid;
        waiting[i].timer = after(TIMEOUT_MS, time_out);
        waiting[i].handle = response_handler;
        if (waiting[i].timer < 0 || !post(request)) {
            end_wait(i, 0);
        }
        return;
    }
    if (response_handler) {
        response_handler(0, user_data);
    } else {
        post(request);
    }
}

void microclaw_send_response(const response_t *response, char *packet) {
    packet[0] = VERSION;
    packet[1] = (char)response->status;
    put(packet + 2, 2, (uint32_t)response->fmt);
    put(packet + 4, 4, response->mid);
    put(packet + 8, 4, (uint32_t)response->reciever);
    put(packet + 12, 4, (uint32_t)response->payload_len);
    wasm_response_send(packet, RESPONSE_HEAD + response->payload_len);
}

void api_response_send(response_t *response) {
    char *packet = malloc((size_t)(RESPONSE_HEAD + response->payload_len));
    if (!packet) {
        return;
    }
    if (response->payload_len) {
        memcpy(packet + RESPONSE_HEAD, response->payload, (size_t)response->payload_len);
    }
    microclaw_send_response(response, packet);
    free(packet);
}

request_t *init_request(request_t *request, char *url, int action, int fmt, void *payload, int payload_len) {
    static uint32_t last_mid;
    *request = (request_t){.mid = ++last_mid, .url = url, .action = action, .fmt = fmt, .payload = payload, .payload_len = payload_len};
    return request;
}

response_t *make_response_for_request(request_t *request, response_t *response) {
    *response = (response_t){.mid = request->mid, .reciever = request->sender};
    return response;
}

response_t *set_response(response_t *response, int status, int fmt, const char *payload, int payload_len) {
    response->status = status;
    response->fmt = fmt;
    response->payload = (void *)payload;
    response->payload_len = payload_len;
    return response;
}

/* Whether a registered url is the one that is asked for, or the folder that it is in. */
static bool is_for(const char *registered, const char *asked) {
    size_t size = strlen(registered);
    return strncmp(registered, asked, size) == 0 && (!asked[size] || asked[size] == '/' || asked[size] == '?');
}

void microclaw_request(char *buffer, int size) {
    uint32_t url_size = size >= REQUEST_HEAD ? take(buffer + 12, 2) : 0;
    if (!url_size || buffer[0] != VERSION || (uint32_t)size != REQUEST_HEAD + url_size + take(buffer + 14, 4) ||
        buffer[REQUEST_HEAD + url_size - 1]) {
        return;
    }
    request_t request = {.mid = take(buffer + 4, 4), .url = buffer + REQUEST_HEAD, .action = (uint8_t)buffer[1]};
    request.fmt = (int)take(buffer + 2, 2);
    request.sender = take(buffer + 8, 4);
    request.payload_len = (int)take(buffer + 14, 4);
    request.payload = request.payload_len ? buffer + REQUEST_HEAD + url_size : 0;
    for (int i = 0; i < MAX_HANDLERS && handlers[i].url; i++) {
        if (handlers[i].events == (request.action == COAP_EVENT) && is_for(handlers[i].url, request.url)) {
            handlers[i].handle(&request);
            return;
        }
    }
}

/* Named so that only a program that registers or sends something has it. */
__attribute__((export_name("on_response"))) void microclaw_response(char *buffer, int size) {
    if (size < RESPONSE_HEAD || buffer[0] != VERSION || (uint32_t)size != RESPONSE_HEAD + take(buffer + 12, 4)) {
        return;
    }
    response_t response = {.mid = take(buffer + 4, 4), .status = (uint8_t)buffer[1], .fmt = (int)take(buffer + 2, 2)};
    response.payload_len = (int)take(buffer + 12, 4);
    response.payload = response.payload_len ? buffer + RESPONSE_HEAD : 0;
    for (int i = 0; i < MAX_WAITING; i++) {
        if (waiting[i].handle && waiting[i].mid == response.mid) {
            end_wait(i, &response);
            return;
        }
    }
}
