const int echoPin = 4;
const int trigPin = 5;

long readDistance() {
  digitalWrite(trigPin, LOW);
  delayMicroseconds(2);
  digitalWrite(trigPin, HIGH);
  delayMicroseconds(10);
  digitalWrite(trigPin, LOW);
  long duration = pulseIn(echoPin, HIGH, 30000);
  return duration * 0.034 / 2;
}

void setup() {
  Serial.begin(115200);
  pinMode(trigPin, OUTPUT);
  pinMode(echoPin, INPUT);
}

void loop() {
  long cm = readDistance();
  if (cm == 0) {
    Serial.println("out of range");
  } else {
    Serial.print(cm);
    Serial.println(" cm");
  }
  delay(500);
}
