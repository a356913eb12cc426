#include <BLEDevice.h>
#include <BLEServer.h>
BLEServer *server;
class CB : public BLEServerCallbacks { void onConnect(BLEServer *s) { } };
void setup(){ BLEDevice::init("x"); server = BLEDevice::createServer(); server->setCallbacks(new CB()); }
void loop(){}
