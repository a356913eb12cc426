const int RED = 18, YELLOW = 17, GREEN = 5;

enum Phase { STOP, READY, GO, SLOW };
Phase phase = STOP;

void show(bool r, bool y, bool g) {
  digitalWrite(RED, r);
  digitalWrite(YELLOW, y);
  digitalWrite(GREEN, g);
}

void setup() {
  int pins[] = {RED, YELLOW, GREEN};
  for (int p : pins) pinMode(p, OUTPUT);
}

void loop() {
  switch (phase) {
    case STOP:
      show(1, 0, 0);
      delay(1000);
      phase = READY;
      break;
    case READY:
      show(1, 1, 0);
      delay(300);
      phase = GO;
      break;
    case GO:
      show(0, 0, 1);
      delay(1000);
      phase = SLOW;
      break;
    case SLOW:
      show(0, 1, 0);
      delay(300);
      phase = STOP;
      break;
  }
}
