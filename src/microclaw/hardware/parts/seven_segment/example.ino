// Counts on two digits with common cathodes: their segments are on the same pins, and each is lit in its turn.
const int segmentPins[7] = {4, 5, 6, 7, 15, 16, 17};
const int digitPins[2] = {18, 21};
const byte numbers[10] = {0x3F, 0x06, 0x5B, 0x4F, 0x66, 0x6D, 0x7D, 0x07, 0x7F, 0x6F};
int count = 41;

void light(int place, int number) {
  digitalWrite(digitPins[0], HIGH);
  digitalWrite(digitPins[1], HIGH);
  for (int i = 0; i < 7; i++) {
    digitalWrite(segmentPins[i], bitRead(numbers[number], i));
  }
  digitalWrite(digitPins[place], LOW);
}

void setup() {
  Serial.begin(115200);
  for (int i = 0; i < 7; i++) {
    pinMode(segmentPins[i], OUTPUT);
  }
  for (int i = 0; i < 2; i++) {
    pinMode(digitPins[i], OUTPUT);
    digitalWrite(digitPins[i], HIGH);
  }
}

void loop() {
  Serial.print("count ");
  Serial.println(count);
  unsigned long begin = millis();
  while (millis() - begin < 500) {
    light(0, count / 10);
    delay(5);
    light(1, count % 10);
    delay(5);
  }
  count++;
}
