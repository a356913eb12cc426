/* IPAddress.h. */
#include <IPAddress.h>

bool IPAddress::fromString(const char *text) {
    uint8_t parts[sizeof parts_];
    for (unsigned i = 0; i < sizeof parts; i++) {
        unsigned value = 0, digits = 0;
        while (isdigit((unsigned char)*text) && digits < 3) {
            value = value * 10 + (unsigned)(*text++ - '0');
            digits++;
        }
        bool is_last = i == sizeof parts - 1;
        if (!digits || value > 255 || *text++ != (is_last ? '\0' : '.')) {
            return false;
        }
        parts[i] = (uint8_t)value;
    }
    *this = parts;
    return true;
}

String IPAddress::toString() const {
    char text[16];
    snprintf(text, sizeof text, "%u.%u.%u.%u", parts_[0], parts_[1], parts_[2], parts_[3]);
    return text;
}

IPAddress::operator uint32_t() const {
    uint32_t address;
    memcpy(&address, parts_, sizeof address);
    return address;
}

IPAddress &IPAddress::operator=(const uint8_t *parts) {
    memcpy(parts_, parts, sizeof parts_);
    return *this;
}

IPAddress &IPAddress::operator=(uint32_t address) {
    memcpy(parts_, &address, sizeof parts_);
    return *this;
}

size_t IPAddress::printTo(Print &out) const { return out.print(toString()); }
