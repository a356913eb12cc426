/* IPAddress.h: an address of IPv4. */
#pragma once
#include <Arduino.h>

class IPAddress : public Printable {
  public:
    IPAddress() {}
    IPAddress(uint8_t first, uint8_t second, uint8_t third, uint8_t fourth) : parts_{first, second, third, fourth} {}
    IPAddress(uint32_t address) { *this = address; } /* as the processor keeps it: the first part is the lowest byte */
    IPAddress(const uint8_t *parts) { *this = parts; }
    IPAddress(const char *text) { fromString(text); }
    bool fromString(const char *text); /* false, and no change, unless it is four numbers with dots */
    bool fromString(const String &text) { return fromString(text.c_str()); }
    String toString() const;
    operator uint32_t() const;
    bool operator==(const IPAddress &other) const { return memcmp(parts_, other.parts_, sizeof parts_) == 0; }
    bool operator!=(const IPAddress &other) const { return !(*this == other); }
    bool operator==(const uint8_t *parts) const { return memcmp(parts_, parts, sizeof parts_) == 0; }
    uint8_t operator[](int at) const { return parts_[at & 3]; }
    uint8_t &operator[](int at) { return parts_[at & 3]; }
    IPAddress &operator=(const uint8_t *parts);
    IPAddress &operator=(uint32_t address);
    size_t printTo(Print &out) const override;

  private:
    uint8_t parts_[4] = {0, 0, 0, 0};
};
#define INADDR_NONE IPAddress(0, 0, 0, 0)
#define INADDR_ANY IPAddress(0, 0, 0, 0)
