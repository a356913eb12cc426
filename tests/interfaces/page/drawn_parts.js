// For the tests of the parts' drawings: draws parts on a page of the host, and says what is wrong with them.

const SLACK = 8; // units: a halo may be larger than its lamp's drawing

/** The facts of a part, as the answer about a bench has them; `states` are states by name. */
window.drawParts = async (facts, theme) => {
  document.documentElement.dataset.theme = theme;
  document.getElementById("page").hidden = true;
  document.getElementById("bench")?.remove();
  const bench = document.createElement("main");
  bench.id = "bench";
  document.body.append(bench);
  window.calls = [];
  window.drawn = {};
  for (const part of facts) window.drawn[part.name] = await drawPart(bench, part);
};

async function drawPart(bench, part) {
  const { drawingOf, loadDrawings } = await import(new URL("/page/bench.js", location.origin));
  await loadDrawings([{ part: part.name }]);
  const drawing = drawingOf({ part: part.name });
  const attributes = { ...part.attributes, label: part.name, title: part.title, values: part.values };
  const hands = part.hands ? (values) => window.calls.push([part.name, values]) : null;
  const [width, height] = drawing.sizeOf ? drawing.sizeOf(attributes) : drawing.size;
  const box = `${-12} ${-12} ${width + 24} ${height + 24}`;
  bench.insertAdjacentHTML("beforeend", `<svg class="bench" data-part="${part.name}" viewBox="${box}" width="${width + 24}" height="${height + 24}"><g class="part"><g></g></g></svg>`);
  const group = bench.lastElementChild.querySelector("g > g");
  const update = drawing.draw(group, attributes, hands);
  return { drawing, attributes, group, update, size: [width, height], states: part.states, isPicture: part.is_picture };
}

/** Show the state of that name in every part. Returns what is wrong. */
window.showState = (name) => {
  const problems = [];
  for (const [part, { drawing, attributes, group, update, size, states, isPicture }] of Object.entries(window.drawn)) {
    const state = states[name];
    if (state === undefined) continue;
    try {
      update(state);
      const words = drawing.says(state, attributes);
      const isWords = typeof words === "string" && words !== "" && !/undefined|NaN|null/.test(words);
      const isUnknown = name === "unknown" || (isPicture && state.screen === null && state.colors === null);
      if (!isWords && !(isUnknown && words === null)) problems.push(`${part} says ${words}`);
    } catch (error) {
      problems.push(`${part}: ${error}`);
    }
    const box = group.getBBox();
    const isInside = box.x >= -SLACK && box.y >= -SLACK && box.x + box.width <= size[0] + SLACK && box.y + box.height <= size[1] + SLACK;
    if (!isInside) problems.push(`${part}: ${size} and drawn ${box.x} ${box.y} ${box.width} ${box.height}`);
    if (group.querySelector("[style]")) problems.push(`${part} has a style attribute`);
    if (/NaN|undefined/.test(group.outerHTML)) problems.push(`${part}: ${/.{30}(NaN|undefined)/.exec(group.outerHTML)[0]}`);
  }
  return problems;
};

window.words = (name) => Object.fromEntries(Object.entries(window.drawn).map(([part, { drawing, attributes, states }]) => [part, drawing.says(states[name], attributes)]));
