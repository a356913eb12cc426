// In the place of navigator.serial: one port, whose bytes go to the test's Python and come from there.
// The page's clock goes on only where the chip was asked and had nothing to say: a busy machine is no silent chip.
(() => {
  const WAIT_MS = 20;
  let nowMs = Date.now();
  Date.now = () => nowMs;
  class Port {
    readable = null;
    writable = null;
    getInfo() {
      return {};
    }
    async open({ baudRate }) {
      await window.usbOpen(baudRate);
      this.readable = this.#coming();
      this.writable = new WritableStream({ write: (bytes) => window.usbWrite([...bytes]) });
    }
    #coming() {
      let isOpen = true;
      return new ReadableStream({
        pull: async (controller) => {
          while (isOpen) {
            const bytes = await window.usbRead();
            if (bytes === null) {
              this.readable = this.#coming(); // as the standard has it for what is no loss of the port
              return controller.error(new DOMException("noise", "FramingError"));
            }
            if (bytes.length > 0) return controller.enqueue(new Uint8Array(bytes));
            await new Promise((resolve) => setTimeout(resolve, WAIT_MS)); // as a port: nothing has come yet
            nowMs += WAIT_MS;
          }
        },
        cancel() {
          isOpen = false;
        },
      });
    }
    async close() {
      this.readable = this.writable = null;
      await window.usbClose();
    }
    async setSignals() {}
  }
  const port = new Port();
  Object.defineProperty(navigator, "serial", { value: { requestPort: async () => port }, configurable: true });
})();
