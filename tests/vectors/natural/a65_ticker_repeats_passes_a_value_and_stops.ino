#include <Ticker.h>
Ticker blink, told, once;
int times;
void toggle() { digitalWrite(2, !digitalRead(2)); if (++times == 4) blink.detach(); }
void tell(int value) { printf("told %d\n", value); }
void stop() { told.detach(); printf("active %d %d\n", blink.active(), once.active()); }
void setup() { pinMode(2, OUTPUT); blink.attach_ms(250, toggle); told.attach(0.5, tell, 7); once.once(1.2, stop); }
void loop() { delay(1000); }
