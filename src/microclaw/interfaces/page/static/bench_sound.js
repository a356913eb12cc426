// The sound of buzzers: off until a person switches it on.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const LOUDNESS = 0.03;

/** Begin a square wave, as a buzzer at a pin has, still silent. */
function beginTone() {
  const context = new AudioContext();
  const wave = new OscillatorNode(context, { type: "square" });
  const gain = new GainNode(context, { gain: 0 });
  wave.connect(gain).connect(context.destination);
  wave.start();
  return { context, wave, gain };
}

/** The button, and what plays a frequency in Hz, or silence. @returns {[any, (hz: number) => void]} */
export function useSound() {
  const tone = useRef(/** @type {ReturnType<typeof beginTone> | null} */ (null));
  const [isOn, setOn] = useState(false);
  const end = () => {
    void tone.current?.context.close();
    tone.current = null;
  };
  useEffect(() => end, []);
  const toggle = () => {
    if (isOn) end();
    else tone.current = beginTone();
    setOn(!isOn);
  };
  const button = html`<button aria-pressed=${isOn} aria-label="Sound of buzzers" onClick=${toggle}>${isOn ? "Sound" : "Silent"}</button>`;
  return [button, (hz) => {
    if (tone.current === null) return;
    if (hz > 0) tone.current.wave.frequency.value = hz;
    tone.current.gain.gain.value = hz > 0 ? LOUDNESS : 0;
  }];
}
