/* Client.h: what HTTPClient.h and PubSubClient.h take as their way to a server. */
#pragma once
#include <IPAddress.h>

class Client : public Stream {
  public:
    virtual bool is_secure_() const { return false; }
    virtual const char *authority_() const { return nullptr; } /* the PEM text of whom a secure one trusts */
};
