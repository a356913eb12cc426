/* arduino/web_exchange.h: the requests for a program's pages. The host serves them at /app/NAME/ and passes each on as a request
 * to the resource `web` (wa-inc/request.h): its payload is the bytes of one HTTP request, and the payload of the response those of
 * the HTTP answer (docs/protocols/wasmachine.md). No port opens on the board. */
#pragma once
#include <Arduino.h>

/* One request and what is answered to it, shared by the copies of a client; the last one deletes it. */
struct WebExchange {
    int users = 1;
    String received; /* the bytes that can be read, from `read_to` on */
    unsigned read_to = 0;
    String answer; /* begins with room for the response's head: it is sent from where it lies */
    unsigned long received_ms = 0;
    uint32_t message = 0; /* with `sender` what the answer needs */
    unsigned long sender = 0;
    bool is_open = false; /* an answer is waited for */
};

typedef void (*WebServing)(void *server, WebExchange *exchange);

/* Begin to take requests. With `serve` each is handed over as it comes, and belongs to the function; without, they wait. */
void microclaw_open_web(WebServing serve, void *server);
/* The next one that waits, or null. One that waited longer than the host does is left out. */
WebExchange *microclaw_next_exchange();
bool microclaw_is_waited_for(const WebExchange *exchange);
/* Begin the answer anew: the status line, Content-Type and these other lines of headers, and room for so many bytes behind them. */
void microclaw_begin_answer(WebExchange *exchange, int status, const char *type, const String &headers, unsigned size);
void microclaw_answer(WebExchange *exchange); /* send `answer`, once */
void microclaw_release(WebExchange *exchange);
/* Whether the heap has a block of this size. ESP.getFreeHeap() would ask for many, and the firmware prints each that it refuses. */
bool microclaw_has_room(unsigned bytes);

#ifndef MICROCLAW_NAME /* the program's, while this library is compiled by itself */
#define MICROCLAW_NAME "NAME"
#endif
#define MICROCLAW_PAGE_ "http://HOST:8080/app/" MICROCLAW_NAME "/"
#define MICROCLAW_SERVES_ \
    __attribute__((diagnose_if(true, "no port opens on the board: the host serves this program's pages, at " MICROCLAW_PAGE_, "warning")))
#define MICROCLAW_SIGNED_IN_ \
    __attribute__((diagnose_if(true, "the host asks for no name and password of the program's own: it shows the pages only to those " \
                                     "who are signed in there, and this is true for each request", "warning")))
