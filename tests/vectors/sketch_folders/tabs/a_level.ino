struct Phase {
  int bit;
};

int level() {
  Phase phase = { step_count & 1 };
  return phase.bit;
}
