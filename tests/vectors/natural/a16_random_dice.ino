void setup() {
  Serial.begin(9600);
  randomSeed(1234);
  int counts[7] = {0};
  for (int i = 0; i < 600; i++) {
    int dice = random(1, 7);
    counts[dice]++;
  }
  int sum = 0;
  bool fair = true;
  for (int i = 1; i <= 6; i++) {
    sum += counts[i];
    if (counts[i] < 50) fair = false;
  }
  Serial.print("sum ");
  Serial.println(sum);
  Serial.println(fair ? "fair" : "loaded");
  Serial.println(random(0));
}

void loop() { delay(100); }
