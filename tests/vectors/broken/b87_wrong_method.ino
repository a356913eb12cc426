#include <Servo.h>
Servo s;
void setup(){ s.attach(5); s.turn(90); Serial.printline("x"); Wire.begin(); }
void loop(){ s.write("x"); }
