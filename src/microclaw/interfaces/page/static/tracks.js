// A pin's level over time: its rhythm in words, what the trial expects now, and its line on a canvas. It fetches nothing.

/** @typedef {{t: number[], level: number[]}} Track */
/** @typedef {{highMs: number, lowMs: number}} Rhythm */

const ALIKE = 0.1; // as pin_track.py has it
const LATE_MS = 10; // a busy machine's virtual board is not exact
const MOST = 0.8;

/** How long the pin is high and low each time, where it repeats; else null. @param {Track} track @param {number} [from] @returns {Rhythm | null} */
export function rhythm(track, from = -Infinity) {
  /** @type {number[][]} */
  const lengths = [[], []];
  for (let i = 1; i < track.t.length; i++) {
    const begin = track.t[i - 1] ?? 0;
    if (begin < from) continue;
    lengths[track.level[i - 1] ?? 0]?.push((track.t[i] ?? 0) - begin);
  }
  const [low, high] = lengths.map(alike);
  return low === null || high === null || low === undefined || high === undefined ? null : { highMs: high, lowMs: low };
}

/** The median, where most are like it. @param {number[]} lengths */
function alike(lengths) {
  const middle = [...lengths].sort((a, b) => a - b)[lengths.length >> 1];
  if (middle === undefined) return null;
  const near = lengths.filter((one) => Math.abs(one - middle) <= ALIKE * middle + LATE_MS);
  return near.length >= MOST * lengths.length ? middle : null;
}

/** @param {Rhythm | null} found */
export function rhythmText(found) {
  if (found === null) return "no steady rhythm";
  return `high ${(found.highMs / 1000).toFixed(3)} s, low ${(found.lowMs / 1000).toFixed(3)} s`;
}

/** The trial's edges of each pin. @param {[number, number, number][]} edges @returns {Map<number, Track>} */
export function tracksOf(edges) {
  /** @type {Map<number, Track>} */
  const tracks = new Map();
  for (const edge of edges) addEdge(tracks, edge);
  return tracks;
}

/** @param {Map<number, Track>} tracks @param {[number, number, number]} edge */
export function addEdge(tracks, [t, pin, level]) {
  const track = tracks.get(pin) ?? { t: [], level: [] };
  track.t.push(t);
  track.level.push(level);
  tracks.set(pin, track);
}

/** The first index whose time is not before `t`. @param {number[]} times @param {number} t */
export function indexAt(times, t) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * What the trial's rhythm expects between two times, in step with the first rise that the board counted there.
 * @param {Rhythm} expected @param {Track} counted @param {number} from @param {number} until @returns {Track}
 */
export function expectedFrom(expected, counted, from, until) {
  /** @type {Track} */
  const track = { t: [], level: [] };
  let first = indexAt(counted.t, from);
  while (first < counted.t.length && counted.level[first] === 0) first += 1;
  const rise = counted.t[first];
  const period = expected.highMs + expected.lowMs;
  if (rise === undefined || period < (until - from) / 2_000) return track; // finer than a line can be drawn
  const isItsStart = first <= 1; // nothing is known of before
  const begin = isItsStart ? rise : rise - Math.ceil((rise - from) / period) * period;
  for (let t = begin; t < until; t += period) {
    track.t.push(t, t + expected.highMs);
    track.level.push(1, 0);
  }
  return track;
}

/**
 * The points of a track between two times, as [x, level] with x from 0 to 1.
 * `end`: until when it is known; nothing is drawn after it.
 * @param {Track} track @param {number} from @param {number} until @param {number} [end] @returns {[number, number][]}
 */
export function points(track, from, until, end = until) {
  if (end <= from) return [];
  const width = until - from;
  const begin = indexAt(track.t, from);
  const first = track.level[begin];
  let level = begin > 0 ? (track.level[begin - 1] ?? 0) : first === undefined ? (track.level.at(-1) ?? 0) : 1 - first;
  /** @type {[number, number][]} */
  const found = [[0, level]];
  for (let i = begin; i < track.t.length && (track.t[i] ?? 0) <= end; i++) {
    const x = ((track.t[i] ?? 0) - from) / width;
    found.push([x, level]);
    level = track.level[i] ?? 0;
    found.push([x, level]);
  }
  found.push([(end - from) / width, level]);
  return found;
}

/**
 * A track from 0 on as an SVG path.
 * @param {Track} track @param {{x: number, y: number, wide: number, high: number}} box @param {number} until @param {number} [end] see `points`
 */
export function pathOf(track, { x, y, wide, high }, until, end = until) {
  const places = points(track, 0, until, end).map(([share, level]) => `${(x + share * wide).toFixed(1)} ${(y + (1 - level) * high).toFixed(1)}`);
  return places.length > 0 ? `M${places.join("L")}` : "";
}
