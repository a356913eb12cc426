/* Uri.h: the address of a page of WebServer.h. */
#pragma once
#include <Arduino.h>

class Uri {
  public:
    Uri(const char *text, bool has_braces = false) : text_(text), has_braces_(has_braces) {}
    Uri(const String &text) : text_(text) {}
    /* Whether it is this path; `values` gets what stands for each {}, of which there are up to `room`. */
    bool is_for(const String &path, String *values, int room) const;

  private:
    String text_;
    bool has_braces_ = false;
};
