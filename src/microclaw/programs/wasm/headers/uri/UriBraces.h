/* uri/UriBraces.h: an address with values in it: UriBraces("/lamp/{}/set"), read with pathArg(0). */
#pragma once
#include <Uri.h>

class UriBraces : public Uri {
  public:
    explicit UriBraces(const char *text) : Uri(text, true) {}
    explicit UriBraces(const String &text) : Uri(text.c_str(), true) {}
};
