// The bench of a draft: its board and parts, and after a trial the player below it, which shows the trial in virtual time.

import { netOf } from "./bench.js";
import { Choice, Icon, onText, useMedia } from "./parts.js";
import { PlayedBench, endOf, rowsOf, stepAfter, stepBefore, stepsOf } from "./play.js";
import { useStage } from "./stage.js";
import { everyFrame } from "./timeline.js";
import { pathOf } from "./tracks.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/htm-preact.module.js";

const SPEEDS = [[0.25, "¼×"], [1, "1×"], [4, "4×"]];
const WIDE = "(min-width: 90rem)"; // the whole board; below it is a strip
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const SLIDER_STEP_MS = 10;
const CHART = { gutter: 100, wide: 700, row: 36, line: 16, axis: 22 };
const TICKS = 5;
/** @type {Record<string, api.PartState>} */
const NOTHING = {};

/** A board with its parts. `played` has what they are now; null: nothing is known of them. @param {{board: any, parts: any[], label: string, played?: PlayedBench | null, ms?: number}} given */
export function BenchStage({ board, parts, label, played = null, ms = 0 }) {
  const isStrip = !useMedia(WIDE);
  const [stage, drawing] = useStage({ board, parts, label, isStrip }, [board, parts, isStrip]);
  useEffect(() => {
    played?.goTo(ms);
    drawing?.update(played?.states ?? NOTHING, played?.levels);
  }, [drawing, played, ms]);
  return html`<div class="mat">${stage}</div>`;
}

/** @param {number} ms */
export function clockText(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** A trial that is played. `seek`: a moment to go to, a new object each time. @param {{board: any, play: api.Play, seek: {ms: number} | null}} given */
export function Player({ board, play, seek }) {
  const end = endOf(play);
  const played = useMemo(() => new PlayedBench(play), [play]);
  const steps = useMemo(() => stepsOf(play), [play]);
  const [ms, setMs] = useState(0);
  const [speed, setSpeed] = useState(1);
  const [isPlaying, setPlaying] = useState(!CALM.matches);
  /** @param {number} moment */
  const goTo = (moment) => {
    setPlaying(false);
    setMs(Math.min(end, Math.max(0, moment)));
  };
  const oldSeek = useRef(seek); // of a trial before
  useEffect(() => {
    if (seek !== null && seek !== oldSeek.current) goTo(seek.ms);
  }, [seek]);
  useLayoutEffect(() => { // it ends before the next frame, which would play on
    if (!isPlaying) return undefined;
    let lastMs = performance.now();
    return everyFrame(() => {
      const nowMs = performance.now();
      const passedMs = (nowMs - lastMs) * speed;
      lastMs = nowMs;
      setMs((before) => Math.min(end, before + passedMs));
    });
  }, [isPlaying, speed, end]);
  useEffect(() => {
    if (ms >= end) setPlaying(false);
  }, [ms, end]);
  const playOrPause = () => {
    if (!isPlaying && ms >= end) setMs(0);
    setPlaying(!isPlaying);
  };
  return html`<${BenchStage} board=${board} parts=${play.parts} label="the trial on the bench" played=${played} ms=${ms} />
    <div class="card player" role="group" aria-label="player">
      <p class="buttons">
        <button aria-label="To the begin" onClick=${() => goTo(0)}><${Icon} name="begin" /></button>
        <button aria-label="To the edge before" onClick=${() => goTo(stepBefore(steps, ms))}><${Icon} name="back" /></button>
        <button class="main" aria-label=${isPlaying ? "Pause" : "Play"} onClick=${playOrPause}><${Icon} name=${isPlaying ? "pause" : "play"} /></button>
        <button aria-label="To the next edge" onClick=${() => goTo(stepAfter(steps, ms, end))}><${Icon} name="next" /></button>
        <${Choice} label="Speed" value=${speed} choices=${SPEEDS} onChoose=${setSpeed} />
        <output class="clock" data-ms=${ms.toFixed(3)}>${clockText(ms)} of ${clockText(end)}</output>
      </p>
      <input type="range" min="0" max=${end} step=${SLIDER_STEP_MS} value=${ms} aria-label="moment of the trial" aria-valuetext=${clockText(ms)}
        onInput=${onText((text) => goTo(Number(text)))} />
      <${Chart} play=${play} end=${end} ms=${ms} goTo=${goTo} />
      ${play.cut_ms !== null && html`<p class="warning">After ${clockText(play.cut_ms)} more happens than is kept to be played.</p>`}
    </div>`;
}

/** The pins that moved over the time of the trial, pale where it is not yet played. @param {{play: api.Play, end: number, ms: number, goTo: (ms: number) => void}} given */
function Chart({ play, end, ms, goTo }) {
  const { gutter, wide, row, line, axis } = CHART;
  const lines = useMemo(() => rowsOf(play).map((pin, i) => (
    { ...pin, y: i * row, path: pathOf(pin, { x: gutter, y: i * row + 10, wide, high: line }, end) })), [play]);
  if (lines.length === 0) return html`<p class="quiet">No pin moved.</p>`;
  const high = lines.length * row;
  const at = gutter + (ms / end) * wide;
  /** @param {any} event */
  const seek = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = event.currentTarget.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * (gutter + wide);
    goTo(((x - gutter) / wide) * end);
  };
  const ticks = [...Array(TICKS + 1).keys()].map((i) => i / TICKS);
  return html`<svg class="chart" viewBox=${`0 0 ${gutter + wide} ${high + axis}`} role="img" aria-label="the pins over the time of the trial"
      onPointerDown=${seek} onPointerMove=${seek}>
    <clipPath id="played"><rect width=${at.toFixed(1)} height=${high} /></clipPath>
    ${ticks.map((share) => html`<path class="grid" d=${`M${gutter + share * wide} 0V${high}`} />
      <text class=${share === 1 ? "axis end" : "axis"} x=${gutter + share * wide} y=${high + 15}>${((share * end) / 1000).toFixed(1)} s</text>`)}
    ${lines.map((pin) => html`<g key=${pin.gpio} class=${`n-${netOf(pin.use)}`} data-gpio=${pin.gpio}>
      <text x="2" y=${pin.y + 15}>${pin.label}</text><text class="note" x="2" y=${pin.y + 29}>pin ${pin.gpio}</text>
      <path class="ahead" d=${pin.path} /><path clip-path="url(#played)" d=${pin.path} /></g>`)}
    <path class="cursor" d=${`M${at.toFixed(1)} 0V${high}`} />
  </svg>`;
}
