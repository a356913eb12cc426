/* WiFi.h: a view of the Wi-Fi that the firmware keeps. begin() joins nothing: the board that runs the program is in its network
 * already, and status() is WL_CONNECTED. The firmware tells programs neither its address nor its signal: localIP() is 0.0.0.0.
 * Access points, scans, events and connections of one's own are not here (docs/reference/arduino-core.md). */
#pragma once
#include <IPAddress.h>
#include <WiFiClient.h>
#include <WiFiServer.h>
#include <WiFiUdp.h>

typedef enum {
    WL_NO_SHIELD = 255,
    WL_IDLE_STATUS = 0,
    WL_NO_SSID_AVAIL,
    WL_SCAN_COMPLETED,
    WL_CONNECTED,
    WL_CONNECT_FAILED,
    WL_CONNECTION_LOST,
    WL_DISCONNECTED
} wl_status_t;
typedef enum { WIFI_MODE_NULL = 0, WIFI_MODE_STA, WIFI_MODE_AP, WIFI_MODE_APSTA } wifi_mode_t;
#define WIFI_OFF WIFI_MODE_NULL
#define WIFI_STA WIFI_MODE_STA
#define WIFI_AP WIFI_MODE_AP
#define WIFI_AP_STA WIFI_MODE_APSTA
typedef wifi_mode_t WiFiMode_t;
typedef enum { WIFI_PS_NONE, WIFI_PS_MIN_MODEM, WIFI_PS_MAX_MODEM } wifi_ps_type_t;

#define NOT_TOLD_(what) __attribute__((diagnose_if(true, "the firmware tells programs nothing about its Wi-Fi: " what, "warning")))
#define NO_ADDRESS_ NOT_TOLD_("this address is 0.0.0.0; the host serves the pages of this program at " MICROCLAW_PAGE_)

class WiFiClass {
  public:
    wl_status_t begin(const char *, const char * = nullptr, int32_t = 0, const uint8_t * = nullptr, bool = true) { return WL_CONNECTED; }
    wl_status_t begin(const String &, const String & = "", int32_t = 0, const uint8_t * = nullptr, bool = true) { return WL_CONNECTED; }
    wl_status_t begin() { return WL_CONNECTED; }
    wl_status_t status() { return WL_CONNECTED; }
    uint8_t waitForConnectResult(unsigned long = 60000) { return WL_CONNECTED; }
    bool isConnected() { return true; }
    bool reconnect() { return true; }
    bool disconnect(bool = false, bool = false, unsigned long = 0) { return false; }
    bool mode(wifi_mode_t mode) MICROCLAW_REFUSED_(mode == WIFI_MODE_AP || mode == WIFI_MODE_APSTA, "access point") {
        return mode == WIFI_MODE_STA;
    }
    wifi_mode_t getMode() { return WIFI_MODE_STA; }
    bool setAutoReconnect(bool) { return true; }
    bool getAutoReconnect() { return true; }
    bool setAutoConnect(bool) { return true; }
    void persistent(bool) {}
    bool setSleep(bool) { return false; }
    bool setSleep(wifi_ps_type_t) { return false; }
    bool getSleep() { return true; }
    bool setHostname(const char *) { return false; }
    bool hostname(const String &) { return false; }
    bool config(IPAddress, IPAddress, IPAddress, IPAddress = IPAddress(), IPAddress = IPAddress())
        NOT_TOLD_("and it takes no address from one; config() returns false") {
        return false;
    }
    IPAddress localIP() NO_ADDRESS_ { return IPAddress(); }
    IPAddress gatewayIP(uint8_t = 0) NO_ADDRESS_ { return IPAddress(); }
    IPAddress subnetMask() NO_ADDRESS_ { return IPAddress(); }
    IPAddress dnsIP(uint8_t = 0) NO_ADDRESS_ { return IPAddress(); }
    IPAddress broadcastIP() NO_ADDRESS_ { return IPAddress(); }
    int8_t RSSI() NOT_TOLD_("RSSI() is 0") { return 0; }
    int32_t channel() NOT_TOLD_("channel() is 0") { return 0; }
    String SSID() NOT_TOLD_("SSID() is empty") { return String(); }
    int32_t RSSI(int) MICROCLAW_REFUSED_(true, "Wi-Fi settings") { return 0; } /* of a network that a scan found */
    int32_t channel(int) MICROCLAW_REFUSED_(true, "Wi-Fi settings") { return 0; }
    String SSID(int) MICROCLAW_REFUSED_(true, "Wi-Fi settings") { return String(); }
    String BSSIDstr() NOT_TOLD_("BSSIDstr() is empty") { return String(); }
    String psk() NOT_TOLD_("psk() is empty") { return String(); }
    const char *getHostname() NOT_TOLD_("getHostname() is empty") { return ""; }
    String macAddress() NOT_TOLD_("macAddress() is 00:00:00:00:00:00") { return "00:00:00:00:00:00"; }
    uint8_t *macAddress(uint8_t *mac) NOT_TOLD_("macAddress() is 00:00:00:00:00:00") { return (uint8_t *)memset(mac, 0, 6); }
};
extern WiFiClass WiFi;
#undef NO_ADDRESS_
#undef NOT_TOLD_
