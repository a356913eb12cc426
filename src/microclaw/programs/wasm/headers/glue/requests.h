/* glue/requests.h: a response that is sent without being copied. Programs cannot include it. */
#pragma once
#include <wa-inc/request.h>
#ifdef __cplusplus
extern "C" {
#endif
enum { RESPONSE_HEAD = 16 };
/* Send what lies behind the first RESPONSE_HEAD bytes of the packet, which become the head; the response's payload is not read. */
void microclaw_send_response(const response_t *response, char *packet);
#ifdef __cplusplus
}
#endif
