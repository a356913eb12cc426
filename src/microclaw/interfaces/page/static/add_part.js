// Add a part to a board, or change a wired one: find it, drag it to its pin or choose it, choose its pins among those
// that can do it. The host says which those are, and checks what is wired; the line is drawn at once.

import { part as quoted } from "./api.js";
import { loadDrawings, single } from "./bench.js";
import { LiveBench, useBench } from "./bench_view.js";
import { OrderState, SureButton, useOrders } from "./lists.js";
import { Choice, Link, Problem, boardPath, go, onText, useFetched, useMedia } from "./parts.js";
import { NARROW } from "./stage.js";
import { may } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";
import { changeWiring } from "./wiring_files.js";

/** What a person has chosen so far; `typed` gave the id. @typedef {{id: string, typed?: string, was: string | null, part: string, title: string, roles: api.Role[], pins: Record<string, number | null>, addresses: {address: number, holder: string | null}[], address: number | null, active: string | null, label: string, attributes: Record<string, number>}} Draft */

const IS_ID = /^(?!.*-$)[a-z][a-z0-9_-]{0,31}$/;
const MAX_ID_CHARS = 32;
const PART = "application/x-microclaw-part"; // what is dragged
/** @type {Record<string, string>} */
const KINDS = { input: "For hands", actuator: "Lights and movers", leds: "Strips of LEDs", display: "Displays", sensor: "Sensors", clock: "Clocks", expander: "More pins" };
/** @type {Record<string, string>} */
const USES = { output: "an output", input: "an input", pwm: "an output with PWM", adc: "reads a voltage", i2c: "I2C, which parts share", "one-wire": "one wire, which parts share", "single-wire": "its own data wire" };

/** The draft of what the host proposes. @param {any} places @param {string | null} was @returns {Draft} */
function draftOf(places, was) {
  const pins = Object.fromEntries(places.roles.map((/** @type {api.Role} */ role) => [role.role, role.proposed]));
  return { ...places, was, pins, label: places.label ?? "" };
}

/** Whether the part is on I2C with these pins, and not on pins that it can have instead. @param {Draft} draft */
function isOnBus(draft) {
  return draft.addresses.length > 0 && !draft.roles.some((role) => role.instead_of_i2c && draft.pins[role.role] !== null);
}

/** The roles that a part with these pins has at all. @param {Draft} draft */
function rolesOf(draft) {
  return draft.roles.filter((role) => role.use !== "i2c" || isOnBus(draft));
}

/** Whether a role needs a pin. @param {Draft} draft @param {api.Role} role */
function isNeeded(draft, role) {
  return role.use === "i2c" || (!role.optional && !(role.instead_of_i2c && isOnBus(draft)));
}

/** Why a role cannot have a pin, or null. @param {Draft} draft @param {api.Role} role @param {api.PinChoice} pin */
function refusalOf(draft, role, pin) {
  const other = rolesOf(draft).find((one) => one !== role && draft.pins[one.role] === pin.gpio);
  return other ? `${other.role} is there` : pin.refused;
}

/** A word of a line, as the host reads it. @param {string} text */
function word(text) {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** The line that PATCH takes. @param {Draft} draft @param {api.PartFacts} facts */
function lineOf(draft, facts) {
  const words = [`${draft.id}=${draft.part}`];
  for (const { role } of rolesOf(draft)) if (draft.pins[role] !== null) words.push(`${role}=${draft.pins[role]}`);
  for (const { name, default: usual } of facts.values) {
    const value = draft.attributes[name];
    if (value !== undefined && value !== usual) words.push(`${name}=${value}`);
  }
  if (isOnBus(draft) && draft.address !== null) words.push(`address=${draft.address}`);
  if (draft.active) words.push(`active=${draft.active}`);
  if (draft.label.trim()) words.push(`label=${word(draft.label.trim())}`);
  return words.join(" ");
}

/** The id that a name gives, "" of nothing; as the host's `part_ids` has it. @param {string} name */
export function idOf(name) {
  if (IS_ID.test(name) || name.trim() === "") return name.trim();
  const id = trimmed(name.toLowerCase().replace(/[^a-z0-9_]+/g, "-"));
  return trimmed((/^[a-z]/.test(id) ? id : `part-${id}`).slice(0, MAX_ID_CHARS));
}

/** @param {string} id */
function trimmed(id) {
  return id.replace(/^[-_]+|[-_]+$/g, "");
}

/** Why a part cannot be wired yet, "" if it can be. @param {Draft} draft @param {string[]} taken ids of other parts */
function lackOf(draft, taken) {
  if (draft.id === "") return "It needs an id: a name of small letters, digits, - and _.";
  if (taken.includes(draft.id)) return `${draft.id} is another part.`;
  const open = rolesOf(draft).find((role) => isNeeded(draft, role) && draft.pins[role.role] === null);
  return open ? `Choose a pin for ${open.role.toUpperCase()}.` : "";
}

/** The part as the bench draws it. @param {Draft} draft @param {api.PartFacts} facts @returns {import("./bench.js").WiredPart} */
function wiredOf(draft, facts) {
  const pins = rolesOf(draft).filter(({ role }) => draft.pins[role] !== null).map(({ role, use }) => (
    { role, use: use === "i2c" ? `i2c ${role === "sda" ? "data" : "clock"}` : use, gpio: draft.pins[role] ?? null }));
  return { ...sampleOf(facts), attributes: { ...sampleOf(facts).attributes, ...draft.attributes }, id: draft.id, label: draft.label, pins };
}

/** @param {api.PartFacts} facts @returns {import("./bench.js").WiredPart} */
function sampleOf({ name, title, values }) {
  const attributes = Object.fromEntries(values.filter((value) => value.of === "attribute").map((value) => [value.name, value.default]));
  return { id: name, part: name, title, attributes, values: {}, pins: [] };
}

/** `id`: the wired part to change; without one a part is added. @param {{device: any, id?: string}} given */
export function AddPart({ device, id }) {
  const known = useBench(device.name);
  const isNarrow = useMedia(NARROW);
  const [board, boardError] = useFetched(`/v1/devices/${quoted(device.name)}`);
  const [listed, listError] = useFetched("/v1/parts");
  const [draft, setDraft] = useState(/** @type {Draft | null} */ (null));
  const [asked, setAsked] = useState(/** @type {string | null} */ (null));
  const [said, setSaid] = useState("");
  const orders = useOrders();
  const path = `/v1/devices/${quoted(device.name)}/wiring`;
  /** @type {Map<string, api.PartFacts>} */
  const kinds = new Map((listed?.parts ?? []).map((/** @type {api.PartFacts} */ one) => [one.name, one]));
  const facts = draft && kinds.get(draft.part);

  /** @param {string} name @param {number | null} gpio where it was dropped */
  const choose = async (name, gpio = null) => {
    const places = await orders.order("GET", `${path}/places?part=${quoted(name)}`);
    if (places === null) return;
    const next = draftOf(places, null);
    const role = next.roles.find((one) => one.pins.some((pin) => pin.gpio === gpio && pin.refused === null) && isNeeded(next, one));
    if (role && gpio !== null && !Object.values(next.pins).includes(gpio)) next.pins[role.role] = gpio;
    setDraft(next);
    setAsked(null);
    setSaid(places.fault ?? "");
  };
  useEffect(() => {
    if (id) orders.order("GET", `${path}/places?id=${quoted(id)}`).then((places) => places && setDraft(draftOf(places, id)));
  }, [id]);
  /** @param {string} name @param {number} gpio */
  const take = (name, gpio) => {
    const role = draft?.roles.find((one) => one.role === name);
    const pin = role?.pins.find((one) => one.gpio === gpio);
    if (!draft || !role || !pin) return;
    const reason = refusalOf(draft, role, pin);
    setSaid(reason ? `Pin ${gpio} cannot be ${name}: ${reason}.` : pin.care ? `Pin ${gpio}, with care: ${pin.care}.` : "");
    if (reason) return;
    const isOff = draft.pins[name] === gpio && !isNeeded(draft, role);
    setDraft({ ...draft, pins: { ...draft.pins, [name]: isOff ? null : gpio } });
  };
  /** @param {string} what @param {{add?: string[], remove?: string[]}} body */
  const change = async (what, body) => {
    if (await changeWiring(orders, device.name, what, "PATCH", body)) go(boardPath(device.name, "bench"));
  };
  const save = () => draft && facts && change(draft.was ? `Changed ${draft.id}.` : `Wired ${draft.id}.`,
    { add: [lineOf(draft, facts)], remove: draft.was && draft.was !== draft.id ? [draft.was] : [] });
  const lack = draft ? lackOf(draft, known.parts().map((one) => one.id).filter((one) => one !== draft.was)) : "";
  const renamed = draft && (draft.typed ?? draft.id) !== draft.id ? `Its id is ${draft.id}.` : "";
  const open = draft && (rolesOf(draft).find((role) => role.role === asked) ?? rolesOf(draft)[0] ?? null);
  /** @param {number} gpio */
  const padClass = (gpio) => {
    const pin = open?.pins.find((one) => one.gpio === gpio);
    if (!draft || !open || !pin) return "";
    if (Object.values(draft.pins).includes(gpio)) return "picked";
    return refusalOf(draft, open, pin) ? "cannot" : `can ${pin.care ? "care" : ""}`;
  };
  const choice = draft && facts && { part: wiredOf(draft, facts), was: draft.was, look: JSON.stringify([draft, asked]), padClass, onPin: (/** @type {number} */ gpio) => open && take(open.role, gpio) };
  const drop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    const [name, pad] = [event.dataTransfer?.getData(PART), /** @type {Element} */ (event.target).closest("[data-gpio]")];
    if (name) void choose(name, pad && Number(pad.getAttribute("data-gpio")));
  };

  if (!may("act")) return html`<p>Your role may look at the wiring, and not change it.</p>`;
  return html`<div class="benchview adding">
    <section class="mat" aria-label="Bench" onDragOver=${(/** @type {DragEvent} */ event) => event.preventDefault()} onDrop=${drop}>
      <p class="line">${draft ? "Free pins are chosen. Another one: click a bright pin, or its number." : "Drag a part to a pin, or choose it."}</p>
      <${Problem} error=${boardError ?? listError} />
      <${LiveBench} known=${known} board=${board} label=${`the bench of ${device.name}`} isStrip=${isNarrow} choice=${choice} /></section>
    <aside class="panel">
      ${draft && facts ? html`<${PinsCard} draft=${draft} facts=${facts} asked=${asked === null ? null : open} setAsked=${setAsked} take=${take} said=${[lack || renamed, said].filter(Boolean).join(" ")} setDraft=${setDraft}>
          <button class="main" disabled=${lack !== "" || orders.isBusy} onClick=${save}>${draft.was ? "Save" : "Wire it"}</button>
          ${draft.was && html`<${SureButton} what="Remove" label=${draft.was} onYes=${() => change(`Removed ${draft.was}.`, { remove: [draft.was ?? ""] })} />`}
          <button onClick=${() => (id ? go(boardPath(device.name, "bench")) : setDraft(null))}>${id ? "Cancel" : "Another part"}</button><//>`
        : !id && html`<${Palette} device=${device.name} kinds=${kinds} choose=${choose} />`}
      <${OrderState} orders=${orders} /></aside></div>`;
}

/** @param {{device: string, kinds: Map<string, api.PartFacts>, choose: (name: string) => void}} given */
function Palette({ device, kinds, choose }) {
  const [text, setText] = useState("");
  const [isLoaded, setLoaded] = useState(false);
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => field.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    const names = [...kinds.keys()].map((part) => ({ part }));
    if (names.length > 0) loadDrawings(names).finally(() => setLoaded(true));
  }, [kinds.size]);
  const words = text.toLowerCase().replaceAll(".h", "").split(/[^\p{L}\p{N}-]+/u).filter(Boolean);
  const found = [...kinds.values()].filter((one) => words.every((typed) => [one.title.toLowerCase(), ...one.words].some((known) => known.includes(typed))));
  return html`<section class="card" aria-label="Add a part"><div class="cardhead"><h2>Add a part</h2><${Link} to=${boardPath(device, "bench")} class="button">Close<//></div>
    <input class="wide" type="search" ref=${field} aria-label="Find a part" placeholder="Find a part: lamp, knob, temperature …" value=${text} onInput=${onText(setText)} />
    <div class="palette" role="group" aria-label="Parts">${isLoaded && Object.entries(KINDS).map(([kind, title]) => {
      const these = found.filter((one) => one.kind === kind);
      return these.length > 0 && html`<h3 key=${kind}>${title}</h3>${these.map((one) => html`<${Tile} key=${one.name} facts=${one} choose=${choose} />`)}`;
    })}
    ${kinds.size > 0 && found.length === 0 && html`<p role="status">Nothing is found for “${text}”. Try one word: for what it does (lamp, button, temperature), the name on its chip, or the library
      of your program. What a pin only switches or reads is found by “anything”.</p>`}</div></section>`;
}

/** @param {{facts: api.PartFacts, choose: (name: string) => void}} given */
function Tile({ facts, choose }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const { node, update } = single(sampleOf(facts));
    const inputs = facts.values.filter(({ of }) => of === "input").map(({ name, default: usual }) => [name, usual]);
    if (inputs.length > 0) update(Object.fromEntries(inputs));
    place.current?.prepend(node);
  }, []);
  return html`<button class="tile" ref=${place} data-part=${facts.name} draggable="true" onClick=${() => choose(facts.name)}
    onDragStart=${(/** @type {DragEvent} */ event) => event.dataTransfer?.setData(PART, facts.name)}><span>${facts.title}</span></button>`;
}

/** The pins and values of the draft. @param {{draft: Draft, facts: api.PartFacts, asked: api.Role | null, setAsked: (role: string) => void, take: (role: string, gpio: number) => void, said: string, setDraft: (draft: Draft) => void, children?: any}} given */
function PinsCard({ draft, facts, asked, setAsked, take, said, setDraft, children }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => place.current?.focus({ preventScroll: true }), [draft.part]);
  const [main, more] = [true, false].map((isMain) => rolesOf(draft).filter((role) => (isNeeded(draft, role) || draft.pins[role.role] !== null) === isMain));
  const row = (/** @type {api.Role} */ role) => html`<${RoleRow} key=${role.role} draft=${draft} role=${role} isOpen=${role === asked} open=${setAsked} take=${take} />`;
  const edit = (/** @type {Partial<Draft>} */ change) => setDraft({ ...draft, ...change });
  const value = (/** @type {any} */ event) => event.currentTarget.value;
  return html`<section class="card pinscard" aria-label=${draft.title}><h2 tabindex="-1" ref=${place}>${draft.title}</h2>
    ${main?.map(row)}${more && more.length > 0 && html`<details><summary>Pins that may stay open: ${more.map((role) => role.role).join(", ")}</summary>${more.map(row)}</details>`}
    <details open=${draft.was !== null}><summary>Name and values</summary><div class="values">
      <label>Id <input value=${draft.typed ?? draft.id} maxlength="60" onInput=${(/** @type {Event} */ event) => edit({ id: idOf(value(event)), typed: value(event) })} /></label>
      <label>Called <input value=${draft.label} maxlength="60" placeholder="desk light" onInput=${(/** @type {Event} */ event) => edit({ label: value(event) })} /></label>
      ${draft.active && html`<${Choice} label="On, or pressed, while its pin is" value=${draft.active} onChoose=${(/** @type {string} */ active) => edit({ active })}
        choices=${["high", "low"].map((level) => [level, level === facts.active ? `${level}, as usual` : level])} />`}
      ${isOnBus(draft) && html`<label>Address <select value=${draft.address} onChange=${(/** @type {Event} */ event) => edit({ address: Number(value(event)) })}>
        ${draft.addresses.map(({ address, holder }) => html`<option key=${address} value=${address} disabled=${holder !== null}>0x${address.toString(16)}${holder ? `: ${holder}` : ""}</option>`)}</select></label>`}
      ${facts.values.filter(({ of }) => of !== "input").map(({ name, of, least, most, default: usual, unit, choices, names }) => {
        const set = (/** @type {string} */ text) => edit({ attributes: { ...draft.attributes, [name]: text === "" ? usual : Number(text) } });
        const now = draft.attributes[name] ?? usual;
        const isFlag = of === "attribute" && least === 0 && most === 1;
        const [listed, called] = isFlag ? [[0, 1], ["no", "yes"]] : [choices, names];
        const title = name.replace(new RegExp(`_${unit}$`, "i"), "").replaceAll("_", " "); // the unit stands behind the value
        if (listed.length > 0) {
          return html`<${Choice} key=${name} label=${title} value=${now} onChoose=${set} choices=${listed.map((/** @type {number} */ one, /** @type {number} */ i) => [one, called[i] ?? one])} />`;
        }
        return html`<label key=${name}>${title}${of === "measured" ? " at first" : ""} <input type="number" min=${least} max=${most} step="any" value=${now}
          onChange=${(/** @type {Event} */ event) => set(value(event))} /> ${unit}</label>`;
      })}</div></details>
    <p class=${said ? "warning" : "quiet"} role="status">${said || "Struck out: taken or reserved; choose it for the reason. Dotted: with care. Supply and ground are wired by themselves."}</p>
    <p class="buttons">${children}</p></section>`;
}

/** A role with its pin, and if it is open every pin of the board. @param {{draft: Draft, role: api.Role, isOpen: boolean, open: (role: string) => void, take: (role: string, gpio: number) => void}} given */
function RoleRow({ draft, role, isOpen, open, take }) {
  const pin = draft.pins[role.role];
  return html`<fieldset><legend><b>${role.role.toUpperCase()}</b> <span class="quiet">${USES[role.use]}</span>
      <button class="pick" aria-expanded=${isOpen} onClick=${() => open(isOpen ? "" : role.role)}>${pin === null ? "choose" : `pin ${pin}`}</button></legend>
    ${isOpen && html`<div class="chips">${role.pins.map((one) => {
      const reason = refusalOf(draft, role, one);
      const note = reason ?? one.care ?? (one.shared_with.length > 0 ? `shared with ${one.shared_with.join(", ")}` : "");
      return html`<button key=${one.gpio} class=${`chip${reason ? " cannot" : ""}${one.care ? " care" : ""}`} aria-disabled=${reason !== null} aria-pressed=${pin === one.gpio}
        title=${note} aria-label=${`pin ${one.gpio}${note && `: ${note}`}`} onClick=${() => take(role.role, one.gpio)}>${one.gpio}</button>`;
    })}</div>`}</fieldset>`;
}
