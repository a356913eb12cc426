class Screen : public Print {
public:
  size_t write(uint8_t c) override {
    if (c == '\n') {
      line[at] = 0;
      Serial.print("screen: ");
      Serial.println(line);
      at = 0;
    } else if (at < 20) {
      line[at++] = c;
    }
    return 1;
  }
private:
  char line[21];
  int at = 0;
};

Screen screen;

void status(Print &out, int value) {
  out.print("value=");
  out.println(value);
}

void setup() {
  Serial.begin(115200);
  status(Serial, 1);
  status(screen, 2);
  screen.printf("%d%%\n", 50);
}

void loop() { delay(1000); }
