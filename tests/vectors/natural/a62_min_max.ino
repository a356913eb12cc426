long a = 7, b = 12;
uint8_t small = 3, large = 200;
int after = 222;
int every = 3;

void setup() {
  Serial.begin(115200);
  int duty = min(300, 255);
  Serial.printf("%ld %ld %d %d %d\n", min(a, b), max(a, b), max(small, large), duty, max(after, every));
  Serial.println(max(1.5, 2.5));
  Serial.println(word(0x12, 0x34), HEX);
  Serial.print("no end");
  while (1);
}

void loop() {}
