char buffer[40];
char message[] = "temp:23.5;hum:40";
float values[2];

void parse(char *text) {
  int i = 0;
  for (char *part = strtok(text, ";"); part != NULL; part = strtok(NULL, ";")) {
    char *colon = strchr(part, ':');
    if (colon) values[i++] = atof(colon + 1);
  }
}

void setup() {
  Serial.begin(115200);
  parse(message);
  snprintf(buffer, sizeof(buffer), "t=%d h=%d", (int)values[0], (int)values[1]);
  Serial.println(buffer);
  dtostrf(values[0], 6, 2, buffer);
  Serial.print("[");
  Serial.print(buffer);
  Serial.println("]");
  itoa(255, buffer, 16);
  Serial.println(buffer);
}

void loop() {}
