// The sound of buzzers: off until a person switches it on.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const LOUDNESS = 0.03;

/** A square wave, as a buzzer at a pin has. */
class Tone {
  context = new AudioContext();
  wave = this.context.createOscillator();
  gain = this.context.createGain();

  constructor() {
    this.wave.type = "square";
    this.gain.gain.value = 0;
    this.wave.connect(this.gain).connect(this.context.destination);
    this.wave.start();
  }

  /** @param {number} hz 0: silent */
  play(hz) {
    if (hz > 0) this.wave.frequency.value = hz;
    this.gain.gain.value = hz > 0 ? LOUDNESS : 0;
  }
}

/** The button, and what plays a frequency in Hz, or silence. @returns {[any, (hz: number) => void]} */
export function useSound() {
  const tone = useRef(/** @type {Tone | null} */ (null));
  const [isOn, setOn] = useState(false);
  const end = () => {
    void tone.current?.context.close();
    tone.current = null;
  };
  useEffect(() => end, []);
  const toggle = () => {
    if (isOn) end();
    else tone.current = new Tone();
    setOn(!isOn);
  };
  const button = html`<button aria-pressed=${isOn} aria-label="Sound of buzzers" onClick=${toggle}>${isOn ? "Sound" : "Silent"}</button>`;
  return [button, (hz) => tone.current?.play(hz)];
}
