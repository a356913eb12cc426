void toggle() {
  digitalWrite(LED, !digitalRead(LED));
}
