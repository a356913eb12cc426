/* The object of WiFi.h: it has nothing to remember. */
#include <WiFi.h>

WiFiClass WiFi;
