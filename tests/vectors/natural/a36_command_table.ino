#include <Servo.h>
Servo servo;
volatile bool flag = false;
bool ledState = false;
unsigned long start = 0;
typedef void (*Handler)();
struct Cmd { const char *name; Handler run; };
void hello() { Serial.println("hello"); }
void bye() { Serial.println("bye"); }
Cmd cmds[] = {{"hello", hello}, {"bye", bye}};
void runCommand(const String& name) {
  for (unsigned int i = 0; i < sizeof(cmds) / sizeof(Cmd); i++) {
    if (name == cmds[i].name) { cmds[i].run(); return; }
  }
  Serial.println("unknown: " + name);
}
void isr() { flag = true; }
void setup() {
  Serial.begin(115200);
  servo.attach(5, 500, 2500);
  attachInterrupt(4, isr, CHANGE);
  runCommand("hello"); runCommand("x"); runCommand("bye");
  start = millis();
}
void loop() {
  while (!flag) { if (millis() - start > 1000) { Serial.println("timeout"); start = millis(); } }
  flag = false; ledState = !ledState; servo.write(ledState ? 180 : 0); Serial.println(servo.read());
  if (Serial.available() > 0) { char c = Serial.read(); if (c == 'a') Serial.println("a"); }
}
