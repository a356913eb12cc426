void setup() {
  Serial.begin(9600);
  Serial.println(map(512, 0, 1023, 0, 255));
  Serial.println(constrain(300, 0, 255));
  Serial.println(min(3, 7L));
  Serial.println(max(2.5, 1));
  Serial.println(abs(-2.5));
  Serial.println(abs(-7));
  Serial.println(sq(5));
  Serial.println(sqrt(16));
  Serial.println(pow(2, 10), 0);
  byte flags = 0;
  bitSet(flags, 3);
  bitWrite(flags, 0, 1);
  Serial.println(flags, BIN);
  Serial.println(bitRead(flags, 3));
  bitClear(flags, 3);
  Serial.println(flags);
  Serial.println(highByte(0x1234), HEX);
  Serial.println(lowByte(0x1234), HEX);
  Serial.println(bit(4));
  Serial.println(B1010);
  Serial.println(round(2.6));
  Serial.println(degrees(PI));
}

void loop() {}
