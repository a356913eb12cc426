int flasher_unused(void) {
  return 1;
}
