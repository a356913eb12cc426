// A pump on pin 5 that runs for one second every four seconds.
const int PUMP = 5;

void setup() {
  pinMode(PUMP, OUTPUT);
}

void loop() {
  digitalWrite(PUMP, HIGH);
  delay(1000);
  digitalWrite(PUMP, LOW);
  delay(3000);
}
