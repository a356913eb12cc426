/* AsyncTCP.h: what ESPAsyncWebServer.h stands on elsewhere; programs have no connections of their own. */
#pragma once
#include <WiFi.h>
