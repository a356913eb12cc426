char room[8];

void setup() {
  Serial.begin(115200);
  strcpy(room, "living room");
  Serial.println(room);
}

void loop() {}
