/* NetworkClient.h: WiFiClient.h under the name that the core's version 3 gives it. */
#pragma once
#include <WiFiClient.h>
