// Prints the distance in centimeters, or that nothing is near.
#include <NewPing.h>

NewPing sonar(4, 5, 400);

void setup() {
  Serial.begin(115200);
}

void loop() {
  unsigned long distance = sonar.ping_cm();
  if (distance == 0) {
    Serial.println("out of range");
  } else {
    Serial.print("distance: ");
    Serial.print(distance);
    Serial.println(" cm");
  }
  delay(1000);
}
