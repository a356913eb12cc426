#define CLK 4
#define DT 5
#define SW 6
int volume = 10;
int lastClk;

void setup() {
  Serial.begin(115200);
  pinMode(CLK, INPUT_PULLUP);
  pinMode(DT, INPUT_PULLUP);
  pinMode(SW, INPUT_PULLUP);
  lastClk = digitalRead(CLK);
}

void loop() {
  int clk = digitalRead(CLK);
  if (clk != lastClk) {
    delay(4);
    if (digitalRead(CLK) == clk) {
      lastClk = clk;
      if (clk == LOW) {
        if (digitalRead(DT) == HIGH) volume++;
        else volume--;
        Serial.print("volume ");
        Serial.println(volume);
      }
    }
  }
  if (digitalRead(SW) == LOW) {
    volume = 0;
    Serial.println("mute");
    while (digitalRead(SW) == LOW) delay(10);
    delay(20);
  }
}
