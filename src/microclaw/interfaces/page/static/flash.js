// Sets up a new board on a USB cable of this computer, by Web Serial: writes MicroPython and our files, then gives it its Wi-Fi.

import { get, hostError, opened, pieces, send } from "./api.js";
import { SureButton } from "./lists.js";
import { Heading, Link, Problem, onSent, onText, useAttempt, useFetched } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {import("./vendor/esptool-js.bundle.js").SerialPort} SerialPort */

const FLASH_BAUD = 460_800;
const CONSOLE_BAUD = 115_200;
const MAX_LINES = 200;
const MAX_LINE_CHARS = 1_000;
const MIN_FLASH_BYTES = 4 << 20;
const HOLD_BOOT = "hold the board's BOOT button, press RESET (EN) once, let BOOT go, and try again; close other programs that have the port open";

/** @param {string} message @param {string} next */
const problem = (message, next) => Object.assign(new Error(message), { next });

/** Why this browser or page cannot reach a USB port; null where it can. */
function obstacle() {
  if (!window.isSecureContext) return problem("this page came over an unencrypted connection, and browsers give USB ports to secure pages alone",
      "open this page by https (docs/people.md), or at localhost on the host's machine; or there: microclaw flash");
  if (!("serial" in navigator)) return problem("this browser has no Web Serial; Firefox and Safari have none",
      "use Chrome or Edge on a computer; or plug the board into the host's machine, and there: microclaw flash");
  return null;
}

/** The port that the person chooses; null for none. @returns {Promise<SerialPort | null>} */
const choosePort = () => /** @type {any} */ (navigator).serial.requestPort().catch((/** @type {any} */ error) => {
  if (error.name === "NotFoundError") return null;
  throw error;
});

/** With the next step that goes with it, where it brings none. @param {any} error @param {string} next */
const explained = (error, next) => (error?.next === undefined ? problem(String(error?.message ?? error), next) : error);

/** Erases the board and writes it. @param {SerialPort} port @param {string} board @param {string} chip @param {(text: string, share?: number) => void} tell */
async function install(port, board, chip, tell) {
  const { ESPLoader, Transport } = await import("./vendor/esptool-js.bundle.js");
  const transport = new Transport(port);
  const loader = new ESPLoader({ transport, baudrate: FLASH_BAUD, romBaudrate: CONSOLE_BAUD, terminal: { clean() {}, write() {}, writeLine() {} } });
  try {
    tell("reading the chip");
    await loader.main();
    const build = await planFor(loader, board, chip, tell);
    const bytesOf = async (/** @type {string} */ path) => new Uint8Array(await (await opened(`/v1/firmware/${path}`, {}, new AbortController().signal)).arrayBuffer());
    const files = await Promise.all(build.parts.map(async (/** @type {any} */ one) => ({ data: await bytesOf(one.path), address: one.offset })));
    let checked = 0;
    tell("erasing");
    await loader.writeFlash({
      fileArray: files, flashMode: "keep", flashFreq: "keep", flashSize: "keep", eraseAll: true, compress: true,
      reportProgress: (file, written, total) => tell(`writing ${file + 1} of ${files.length}`, written / total),
      calculateMD5Hash: () => build.parts[checked++].md5, // the chip's answer must be the host's digest
    });
    await loader.after("hard_reset");
    return build;
  } finally {
    await transport.disconnect().catch(() => {}); // it was not open: what is told is why
  }
}

/** What the host has for this very chip, flash and PSRAM. @param {import("./vendor/esptool-js.bundle.js").ESPLoader} loader @param {string} board @param {string} chip @param {(text: string) => void} tell */
async function planFor(loader, board, chip, tell) {
  if (loader.secureDownloadMode) throw problem("the board's maker locked its flash", "use a board that is not locked");
  if (loader.chip.CHIP_NAME !== chip) throw problem(`this board's chip is an ${loader.chip.CHIP_NAME}, and the chosen board has an ${chip}`, "choose a board with this chip");
  const size = await loader.detectFlashSize();
  const bytes = size === undefined ? 0 : loader.flashSizeBytes(size);
  if (bytes < MIN_FLASH_BYTES) throw problem(`its flash is ${size ?? "unknown"}, and 4 MB are needed`, "use a board with more flash");
  const psram = /(Unknown )?Embedded PSRAM(?: (\d+) ?MB)?/.exec(String(await loader.chip.getChipFeatures(loader)));
  if (psram?.[1]) throw problem("how much PSRAM this chip has is not known here", "on the host's machine: microclaw flash");
  const psramBytes = psram === null ? 0 : Number(psram[2] ?? 2) << 20; // without a size: ESP32-PICO-V3-02
  tell("the host makes the board's files");
  const asked = new URLSearchParams({ board, flash_bytes: String(bytes), psram_bytes: String(psramBytes) });
  return (await get(`/v1/firmware/manifest?${asked}`)).builds[0];
}

export function Flash() {
  const why = obstacle();
  const [choices, error] = useFetched("/v1/firmware/install");
  const [isOpened, setOpened] = useState(false);
  const [refused, setRefused] = useState(/** @type {any} */ (null));
  const open = () => send("POST", "/v1/firmware/install/link").then(() => setOpened(true), setRefused);
  return html`<${Heading}>Flash a board<//>
    <p>Sets up a new board on a USB port of this computer, the one with this browser. A board that runs microclaw already would be erased:
      plug it into the host's machine, and there <code>microclaw flash</code> keeps what it has.</p>
    <${Problem} error=${why} /><${Problem} error=${error} />
    ${choices?.problem && !choices.can_open && html`<${Problem} error=${{ message: choices.problem, next: choices.next }} />`}
    ${choices?.can_open && !isOpened && html`<section class="card" aria-label="The way to this host"><h2>First: the way to this host</h2>
      <p>Now, ${choices.problem}. Once it is open, its port 8443 speaks TLS and takes paired boards alone.</p>
      <p><${SureButton} what="Open the link to your network" label="port 8443, TLS, paired boards alone" onYes=${open} /></p></section>`}
    ${isOpened && html`<p role="status">It is open from the host's next start on. Start the host again where it runs, with <code>microclaw up</code>; then load this page again.</p>`}
    <${Problem} error=${refused} />
    ${!why && choices && html`<${Write} chips=${choices.chips} /><${BoardConsole} />`}`;
}

/** @param {{chips: any[]}} given */
function Write({ chips }) {
  const [board, setBoard] = useState(/** @type {string} */ (chips[0].boards[0].board));
  const [doing, setDoing] = useState(/** @type {{text: string, share?: number} | null} */ (null));
  const [done, setDone] = useState(/** @type {any} */ (null));
  const { isBusy, error, attempt } = useAttempt((problem) => explained(problem, HOLD_BOOT));
  const chip = chips.find((one) => one.boards.some((/** @type {any} */ known) => known.board === board));
  const write = () => attempt(async () => {
    setDone(null);
    setDoing(null);
    const port = await choosePort();
    if (port !== null) setDone(await install(port, board, chip.chip, (text, share) => setDoing({ text, share })));
  });
  return html`<section class="card" aria-label="Write the board"><h2>1. Write the board</h2>
    <p class="buttons"><label>Board <select value=${board} disabled=${isBusy} onChange=${onText(setBoard)}>
      ${chips.map((one) => html`<optgroup key=${one.chip} label=${one.chip}>${one.boards.map((/** @type {any} */ known) => html`<option key=${known.board} value=${known.board}>${known.title}</option>`)}</optgroup>`)}</select></label>
      <${SureButton} what="Erase and write" label="the board" disabled=${isBusy} onYes=${write} /></p>
    <p class="quiet">Everything on the board is erased. ${chip.image ? `This host has ${chip.image}.` : "This host fetches MicroPython's image for it, and compares its SHA-256."}</p>
    <div role="status">${isBusy && doing && html`<p>${doing.text} ${doing.share !== undefined && html`<progress aria-label=${doing.text} max="1" value=${doing.share} />`}</p>`}
      ${done && html`<p>The board is written, and what it has was compared. ${done.image}: ${done.official ? "its checksum is the official one" : "the digests inside it are right"}. Go on with its Wi-Fi.</p>`}</div>
    <${Problem} error=${error} /></section>`;
}

/** The board's own console: it takes the Wi-Fi, and tells the code by which it is paired. */
function BoardConsole() {
  const [lines, setLines] = useState(/** @type {string[] | null} */ (null));
  const listening = useAttempt((problem) => explained(problem, "plug it in again, press RESET (EN) once, and open its console again"));
  const joining = useAttempt((problem) => explained(problem, "plug it in again"));
  const place = useRef(/** @type {{port: SerialPort, reader: ReadableStreamDefaultReader<Uint8Array>} | null} */ (null));
  useEffect(() => () => void place.current?.reader.cancel(), []);
  const isOpen = listening.isBusy && lines !== null;
  const listen = () => listening.attempt(async () => {
    setLines(null);
    const port = await choosePort();
    if (port === null) return;
    await port.open({ baudRate: CONSOLE_BAUD });
    setLines([]);
    for (let stream = port.readable, before = null; stream !== before; before = stream, stream = port.readable) { // noise on the line, and the port has another
      if (stream === null) throw new Error("the board went away");
      place.current = { port, reader: stream.getReader() };
      if (await follow(place.current.reader, (line) => setLines((said) => [...(said ?? []), line].slice(-MAX_LINES)))) break;
    }
    await port.close();
  });
  /** @param {FormData} given */
  const join = (given) => joining.attempt(async () => {
    const words = [String(given.get("ssid")), String(given.get("password"))].filter(Boolean);
    if (words.some((word) => /["\p{Cc}]/u.test(word))) throw problem('a name or password with a " cannot be given here', "on the cable of the host's machine: microclaw flash");
    const writer = /** @type {WritableStream<Uint8Array>} */ (place.current?.port.writable).getWriter();
    const text = new TextEncoder().encode(`set_wifi ${words.map((word) => `"${word}"`).join(" ")}\r\n`);
    await writer.write(text).finally(() => writer.releaseLock());
  });
  const code = (lines ?? []).map((line) => /pairing code (\w+)/.exec(line)?.[1]).filter(Boolean).at(-1);
  return html`<section class="card" aria-label="Wi-Fi and pairing"><h2>2. Wi-Fi and pairing</h2>
    ${!listening.isBusy && html`<p>After it was written, some boards are another port: choose again.</p><button onClick=${listen}>Open the board's console</button>`}
    ${isOpen && html`<form class="buttons" onSubmit=${onSent(join)}><label>Wi-Fi <input name="ssid" required maxlength="32" autocomplete="off" /></label>
      <label>Password <input name="password" type="password" maxlength="63" autocomplete="off" /></label><button class="main">Give it to the board</button></form>
      <p class="quiet">2.4 GHz alone. It goes over the cable, and rests in the board's flash as plain text.</p>
      <pre aria-label="What the board says">${lines.join("\n")}</pre>`}
    ${code && html`<p role="status">The board shows the code ${code}. No session lets a board in, so that a stolen one cannot. On the host's machine: <code>microclaw device pair ${code} --name NAME</code>; then it is among the <${Link} to="/">boards<//>.</p>`}
    <${Problem} error=${listening.error ?? joining.error} /></section>`;
}

/** Whole lines as they come. Whether the reader was cancelled: else its stream failed. @param {ReadableStreamDefaultReader<Uint8Array>} reader @param {(line: string) => void} told */
async function follow(reader, told) {
  try {
    for await (const line of pieces(reader, /\r?\n/, MAX_LINE_CHARS)) told(line);
    return true;
  } catch (error) {
    hostError(error);
    return false;
  } finally {
    reader.releaseLock();
  }
}
