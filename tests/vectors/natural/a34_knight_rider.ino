// knight rider
byte ledPins[] = {5, 18, 17, 16};
const int ledCount = sizeof(ledPins) / sizeof(ledPins[0]);
int index = 0, time = 5, direction = 1;
float temperature;
int reading = 3;
void setup() {
  for (int thisLed = 0; thisLed < ledCount; thisLed++) pinMode(ledPins[thisLed], OUTPUT);
  Serial.begin(9600);
  randomSeed(micros());
  attach();
}
void attach() { Serial.println("attach"); }
void write(int v) { digitalWrite(ledPins[v], !digitalRead(ledPins[v])); }
void loop() {
  write(index);
  index += direction;
  if (index == 0 || index == ledCount - 1) direction = -direction;
  delay(100);
  temperature = random(200, 300) / 10.0;
  Serial.print("Temp: "); Serial.print(temperature); Serial.print((char)176); Serial.println("C");
  int r = random(0, 5);
  switch (r) { case 0: { int q = 3; Serial.println(q); break; } default: break; }
  goto end;
end:
  ;
}
