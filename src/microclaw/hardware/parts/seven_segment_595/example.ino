// Counts on four digits with common anodes over two shift registers: first go the segments, then the digit.
const int dataPin = 4;
const int clockPin = 5;
const int latchPin = 6;
const byte numbers[10] = {0x3F, 0x06, 0x5B, 0x4F, 0x66, 0x6D, 0x7D, 0x07, 0x7F, 0x6F};
int count = 1241;

void light(int place, int number) {
  digitalWrite(latchPin, LOW);
  shiftOut(dataPin, clockPin, MSBFIRST, ~numbers[number] & 0xFF);
  shiftOut(dataPin, clockPin, MSBFIRST, 1 << place);
  digitalWrite(latchPin, HIGH);
}

void setup() {
  Serial.begin(115200);
  pinMode(dataPin, OUTPUT);
  pinMode(clockPin, OUTPUT);
  pinMode(latchPin, OUTPUT);
}

void loop() {
  Serial.print("count ");
  Serial.println(count);
  unsigned long begin = millis();
  while (millis() - begin < 500) {
    light(0, count / 1000);
    delay(3);
    light(1, count / 100 % 10);
    delay(3);
    light(2, count / 10 % 10);
    delay(3);
    light(3, count % 10);
    delay(3);
  }
  count++;
}
