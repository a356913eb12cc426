/* NetworkClientSecure.h: WiFiClientSecure.h under the name that the core's version 3 gives it. */
#pragma once
#include <WiFiClientSecure.h>
