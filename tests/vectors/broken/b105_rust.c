fn main() {
    let mut led = Pin::new(2);
    loop { led.toggle(); delay_ms(500); }
}
