// An RGB LED with its cathode on ground shows red, then orange, then violet, one second each.
const int RED = 5;
const int GREEN = 6;
const int BLUE = 7;

void show(int red, int green, int blue) {
  analogWrite(RED, red);
  analogWrite(GREEN, green);
  analogWrite(BLUE, blue);
  delay(1000);
}

void setup() {
}

void loop() {
  show(255, 0, 0);
  show(255, 128, 0);
  show(128, 0, 255);
}
