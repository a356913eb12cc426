/* wa-inc/request.h: requests, responses and events of WAMR's applications. A payload is bytes with a format
 * of its own choice, or an attribute container (bi-inc/attr_container.h). At most 8 urls, and 8 requests that wait for a response. */
#pragma once
#include <bi-inc/attr_container.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
#define FMT_APP_RAW_BINARY 98
#define FMT_ATTR_CONTAINER 99
typedef enum { COAP_GET = 1, COAP_POST, COAP_PUT, COAP_DELETE, COAP_EVENT = 6 } coap_method_t;
typedef enum {
    NO_ERROR = 0,
    CREATED_2_01 = 65,
    DELETED_2_02,
    VALID_2_03,
    CHANGED_2_04,
    CONTENT_2_05,
    BAD_REQUEST_4_00 = 128,
    UNAUTHORIZED_4_01,
    BAD_OPTION_4_02,
    FORBIDDEN_4_03,
    NOT_FOUND_4_04,
    METHOD_NOT_ALLOWED_4_05,
    NOT_ACCEPTABLE_4_06,
    INTERNAL_SERVER_ERROR_5_00 = 160,
    NOT_IMPLEMENTED_5_01,
    BAD_GATEWAY_5_02,
    SERVICE_UNAVAILABLE_5_03,
    GATEWAY_TIMEOUT_5_04
} coap_status_t;
typedef struct request {
    uint32_t mid;
    char *url;
    int action; /* COAP_GET ... */
    int fmt;
    void *payload;
    int payload_len;
    unsigned long sender;
} request_t;
typedef struct response {
    uint32_t mid;
    int status; /* CONTENT_2_05 ... */
    int fmt;
    void *payload;
    int payload_len;
    unsigned long reciever; /* so it is spelled there */
} response_t;
typedef void (*request_handler_f)(request_t *request);
typedef void (*response_handler_f)(response_t *response, void *user_data); /* 0 for a response that did not come */
bool api_register_resource_handler(const char *url, request_handler_f handler);
bool api_subscribe_event(const char *url, request_handler_f handler);
bool api_publish_event(const char *url, int fmt, void *payload, int payload_len);
void api_send_request(request_t *request, response_handler_f response_handler, void *user_data);
void api_response_send(response_t *response);
request_t *init_request(request_t *request, char *url, int action, int fmt, void *payload, int payload_len);
response_t *make_response_for_request(request_t *request, response_t *response);
response_t *set_response(response_t *response, int status, int fmt, const char *payload, int payload_len);
#ifdef __cplusplus
}
#endif
