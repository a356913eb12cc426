#include "wasm_app.h"
#include "wa-inc/request.h"

static void on_sum(request_t *request)
{
    response_t response[1];
    char text[16];
    int a = 0, b = 0;
    sscanf((char *)request->payload, "%d+%d", &a, &b);
    snprintf(text, sizeof text, "%d", a + b);
    make_response_for_request(request, response);
    set_response(response, CONTENT_2_05, FMT_APP_RAW_BINARY, text, strlen(text) + 1);
    api_response_send(response);
}

static void on_answer(response_t *response, void *user_data)
{
    if (response == NULL) {
        printf("%s: no answer\n", (char *)user_data);
        return;
    }
    printf("%s: %d %s\n", (char *)user_data, response->status, (char *)response->payload);
}

static void on_alarm(request_t *event)
{
    printf("event %s: %.*s\n", event->url, event->payload_len, (char *)event->payload);
}

void on_init()
{
    request_t request[1];
    api_register_resource_handler("/sum", on_sum);
    api_subscribe_event("alarm/door", on_alarm);
    init_request(request, "/sum", COAP_PUT, FMT_APP_RAW_BINARY, "19+23", 6);
    api_send_request(request, on_answer, "sum");
    init_request(request, "/nobody", COAP_GET, 0, NULL, 0);
    api_send_request(request, on_answer, "nobody");
    api_publish_event("alarm/door", FMT_APP_RAW_BINARY, "open", 4);
}
