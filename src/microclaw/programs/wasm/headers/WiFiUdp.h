/* WiFiUdp.h: what NTPClient.h is given. The firmware gives programs no packets of UDP. */
#pragma once
#include <IPAddress.h>

class UDP {};
class WiFiUDP : public UDP {};
typedef WiFiUDP NetworkUDP;
