void toggle() {
  digitalWrite(LED, level());
  step_count = next_step(step_count);
}
