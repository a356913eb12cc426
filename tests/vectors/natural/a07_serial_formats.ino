void setup() {
  Serial.begin(9600);
  while (!Serial) {
    ; // wait for serial port to connect
  }
  int x = 78;
  Serial.print(x);
  Serial.print("\t");
  Serial.print(x, DEC);
  Serial.print("\t");
  Serial.print(x, HEX);
  Serial.print("\t");
  Serial.print(x, OCT);
  Serial.print("\t");
  Serial.println(x, BIN);
  Serial.println(3.14159);
  Serial.println(3.14159, 4);
  Serial.println(-1.5);
  Serial.println(2.0 / 3, 3);
  Serial.println('A');
  Serial.println((int)'A');
  Serial.println(F("from flash"));
  byte b = 200;
  Serial.println(b);
  Serial.println(4294967295UL);
  Serial.println(-2147483647L - 1);
  Serial.println(true);
  Serial.write(72);
  Serial.write("i\n");
  Serial.printf("%5d|%-5s|%05.1f|%x\n", 42, "ab", 3.14159, 255);
}

void loop() {
}
