class Sensor {
public:
  virtual float read() = 0;
  virtual const char *unit() { return ""; }
  virtual ~Sensor() {}
};

class FakeTemp : public Sensor {
public:
  float read() override { return 21.5; }
  const char *unit() override { return "C"; }
};

class Counter : public Sensor {
  int n = 0;
public:
  float read() override { return ++n; }
};

Sensor *sensors[2];

void setup() {
  Serial.begin(115200);
  sensors[0] = new FakeTemp();
  sensors[1] = new Counter();
}

void loop() {
  for (Sensor *s : sensors) {
    Serial.print(s->read());
    Serial.println(s->unit());
  }
  delay(1000);
}
