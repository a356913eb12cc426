// The text of a program or of its expectations with marks at what is wrong: CodeMirror, fetched when the editor opens. It asks the host nothing.

import { Problem } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {import("./vendor/codemirror.js").EditorView} EditorView */
/** @typedef {typeof import("./vendor/codemirror.js")} CodeMirror */
/** @typedef {api.Finding & {at: number | null, isNamed: boolean}} Finding `at`: its line in the text, null if it is not there; `isNamed`: with its file */
/** @typedef {{file?: string, at: number | null, column?: number | null}} Place in the text */
/** @typedef {"c" | "python" | "expectations"} Kind of a text */
/** `#line NUMBER "FILE"`: the line of the text behind it, and which line of which file that is. @typedef {{at: number, line: number, file: string}} Mark */
/** @typedef {{read: (kind: Kind) => void, mark: (findings: Finding[]) => void, goTo: (place: Place) => void, close: () => void}} Opened */

const MARK = /^[ \t]*#[ \t]*line[ \t]+(\d{1,6})[ \t]+"([^"\n]+)"[ \t]*$/; // as programs/source_marks.py has it
export const EXPECTATIONS = "expectations"; // the file of a finding in their lines, as the host has it
/** @type {Record<string, "error" | "warning">} */
const SEVERITIES = { error: "error", warning: "warning" };
const AWAY = { message: "the editor could not be fetched", next: "is the host running? Then load the page again: the draft is kept" };

/** @param {{label: string, kind: Kind, first: string, findings: Finding[], chosen: Place | null, onText: (text: string) => void}} given `first` counts once */
export function Code({ label, kind, first, findings, chosen, onText }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [opened, setOpened] = useState(/** @type {Opened | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const tell = useRef(onText);
  tell.current = onText;
  useEffect(() => {
    let isHere = true;
    /** @type {Opened | null} */
    let made = null;
    Promise.all([import("./vendor/codemirror.js"), looks()]).then(([cm, sheet]) => {
      if (!isHere || place.current === null) return;
      made = open(cm, sheet, place.current, label, first, (text) => tell.current(text));
      setOpened(made);
    }, (problem) => {
      console.error(problem);
      setError(AWAY);
    });
    return () => {
      isHere = false;
      made?.close();
    };
  }, []);
  useEffect(() => opened?.read(kind), [opened, kind]);
  useEffect(() => opened?.mark(findings), [opened, findings]);
  useEffect(() => {
    if (chosen) opened?.goTo(chosen);
  }, [opened, chosen]);
  return html`<div class=${`code ${kind}`} ref=${place}></div><${Problem} error=${error} />
    ${!opened && !error && html`<p class="quiet">One moment.</p>`}`;
}

async function looks() {
  const answer = await fetch(new URL("code.css", import.meta.url));
  return new CSSStyleSheet().replace(await answer.text());
}

/**
 * In a shadow root: there CodeMirror's styles are a constructed sheet, which the content policy allows; in the document they would be
 * an inline style, which it forbids.
 * @param {CodeMirror} cm @param {CSSStyleSheet} sheet @param {HTMLElement} place @param {string} label @param {string} first @param {(text: string) => void} onText @returns {Opened}
 */
function open(cm, sheet, place, label, first, onText) {
  const root = place.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];
  const reading = new cm.Compartment();
  const indenting = cm.keymap.of([cm.indentWithTab]);
  const readings = { c: [cm.cpp(), indenting], python: [cm.python(), indenting], expectations: [] };
  const view = new cm.EditorView({
    root,
    parent: root,
    state: cm.EditorState.create({
      doc: first,
      extensions: [
        cm.lineNumbers(), cm.lintGutter(), cm.highlightSpecialChars(), cm.history(), cm.drawSelection(), cm.indentOnInput(),
        cm.bracketMatching(), cm.highlightActiveLine(), cm.search({ top: true }), cm.indentUnit.of("    "),
        cm.keymap.of([...cm.defaultKeymap, ...cm.searchKeymap, ...cm.historyKeymap, ...cm.lintKeymap]),
        reading.of([]), cm.syntaxHighlighting(colours(cm)),
        cm.EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", autocapitalize: "off", tabindex: "0" }),
        cm.EditorView.domEventHandlers({ beforeinput: overwrite }),
        cm.EditorView.domEventObservers({ keydown: leaveByTab, blur: (_event, one) => one.setTabFocusMode(false) }),
        cm.EditorView.updateListener.of((update) => {
          if (update.docChanged) onText(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    read: (kind) => view.dispatch({ effects: reading.reconfigure(readings[kind]) }),
    mark: (findings) => {
      const marks = findings.filter((one) => one.at !== null).map((one) => marked(view, one)).sort((a, b) => a.from - b.from);
      view.dispatch(cm.setDiagnostics(view.state, marks));
    },
    goTo: (wanted) => {
      const { from } = span(view, wanted);
      view.dispatch({ selection: { anchor: from }, effects: cm.EditorView.scrollIntoView(from, { y: "center" }) });
      view.focus();
    },
    close: () => view.destroy(),
  };
}

/**
 * Typing over a selection: where the browser does it, it keeps the style of what goes by an inline style, which the content policy forbids.
 * @param {InputEvent} event @param {EditorView} view
 */
function overwrite(event, view) {
  if (event.inputType !== "insertText" || event.isComposing || !event.data || view.state.selection.main.empty) return false;
  event.preventDefault();
  view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
  return true;
}

/**
 * After Escape, Tab leaves the text, until another key. CodeMirror's own way ends after 2 seconds, and does not begin where Escape also
 * ends a selection. @param {KeyboardEvent} event @param {EditorView} view
 */
function leaveByTab(event, view) {
  if (event.key === "Escape") view.setTabFocusMode(true);
  else if (event.key !== "Tab" && event.key !== "Shift") view.setTabFocusMode(false);
}

/** Where the files of a program begin in its one text. @param {string} text @returns {Mark[]} */
export function marksOf(text) {
  return text.split("\n").flatMap((row, i) => {
    const mark = MARK.exec(row);
    return mark ? [{ at: i + 2, line: Number(mark[1]), file: mark[2] ?? "" }] : [];
  });
}

/** The line of the text where a finding is, null if that is in a header of the library, or no line. @param {Mark[]} marks @param {Finding} finding */
function lineInText(marks, { file, line }) {
  if (line === null) return null;
  const found = marks.find((mark, i) => mark.file === file && mark.line <= line && mark.at + line - mark.line < (marks[i + 1]?.at ?? Infinity) - 1);
  if (found) return found.at + line - found.line;
  return file.endsWith(".h") || marks.length > 0 ? null : line;
}

/** Findings with their lines in the text. @param {Finding[]} findings @param {string} text @returns {Finding[]} */
export function placed(findings, text) {
  const marks = marksOf(text);
  return findings.map((one) => {
    if (one.file === EXPECTATIONS) return { ...one, at: one.line, isNamed: true };
    return { ...one, at: lineInText(marks, one), isNamed: marks.length > 0 };
  });
}

/** @param {EditorView} view @param {Finding} finding @returns {import("./vendor/codemirror.js").Finding} */
function marked(view, finding) {
  const why = finding.explanation && `why: ${finding.explanation}`;
  const message = [finding.message, why, finding.next && `next: ${finding.next}`].filter(Boolean).join("\n").replace(/`([^`\n]+)`/g, "$1"); // it takes text alone
  return { ...span(view, finding), severity: SEVERITIES[finding.severity] ?? "info", message };
}

/** The word at a place. @param {EditorView} view @param {Place} wanted */
function span(view, { at, column }) {
  const { doc } = view.state;
  const row = doc.line(Math.max(1, Math.min(at ?? 1, doc.lines)));
  const from = Math.min(row.from + Math.max(0, (column ?? 1) - 1), row.to);
  const to = view.state.wordAt(from)?.to ?? from + 1;
  return from < row.to ? { from, to: Math.min(to, row.to) } : { from: row.from, to: row.to };
}

/** @param {CodeMirror} cm */
function colours({ HighlightStyle, tags }) {
  return HighlightStyle.define([
    { tag: [tags.keyword, tags.controlKeyword, tags.modifier, tags.self], color: "var(--accent)" },
    { tag: [tags.string, tags.character, tags.special], color: "var(--good)" },
    { tag: [tags.number, tags.bool, tags.null], color: "var(--warn)" },
    { tag: [tags.typeName, tags.className, tags.processingInstruction, tags.meta], color: "var(--expected)" },
    { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
  ]);
}
