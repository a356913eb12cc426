// The types of what the page uses of esptool-js, and of Web Serial, for `tsc --checkJs`. No browser gets this file.
export interface SerialPort {
  readonly readable: ReadableStream<Uint8Array> | null;
  readonly writable: WritableStream<Uint8Array> | null;
  open(options: { baudRate: number }): Promise<void>;
  close(): Promise<void>;
}
export interface Serial {
  requestPort(): Promise<SerialPort>;
}
export interface Chip {
  CHIP_NAME: string;
  getChipFeatures(loader: ESPLoader): Promise<string | string[]>;
}
export class Transport {
  constructor(port: SerialPort);
  disconnect(): Promise<void>;
}
export interface WriteOptions {
  fileArray: { data: Uint8Array; address: number }[];
  flashMode: "keep";
  flashFreq: "keep";
  flashSize: "keep";
  eraseAll: boolean;
  compress: boolean;
  reportProgress(file: number, written: number, total: number): void;
  calculateMD5Hash(image: Uint8Array): string;
}
export class ESPLoader {
  constructor(options: {
    transport: Transport;
    baudrate: number;
    romBaudrate: number;
    terminal: { clean(): void; write(text: string): void; writeLine(text: string): void };
  });
  readonly chip: Chip;
  readonly secureDownloadMode: boolean;
  main(): Promise<string>;
  detectFlashSize(): Promise<string | undefined>;
  flashSizeBytes(size: string): number;
  writeFlash(options: WriteOptions): Promise<void>;
  after(mode: "hard_reset"): Promise<void>;
}
