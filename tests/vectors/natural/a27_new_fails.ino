struct Big {
  char data[60000];
};

Big *big;

void setup() {
  Serial.begin(115200);
  Serial.println("before");
  big = new Big();
  big->data[millis() % 10] = 1;
  Serial.println("after");
}

void loop() {
  Serial.println(big->data[0]);
  delay(1000);
}
