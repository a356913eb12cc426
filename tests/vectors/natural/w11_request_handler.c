#include "wasm_app.h"
#include "wa-inc/request.h"

static void on_light(request_t *request)
{
    response_t response[1];
    printf("light asked\n");
    make_response_for_request(request, response);
    set_response(response, CONTENT_2_05, 0, NULL, 0);
    api_response_send(response);
}

void on_init()
{
    api_register_resource_handler("/light", on_light);
}
