/* wifi_provisioning/scheme_softap.h: over an access point of the board. */
#pragma once
#include <wifi_provisioning/manager.h>
static const wifi_prov_scheme_t wifi_prov_scheme_softap __attribute__((unused)) = {1};
