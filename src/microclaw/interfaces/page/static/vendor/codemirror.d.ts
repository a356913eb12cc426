// The types of what the editor uses of CodeMirror, for `tsc --checkJs`. No browser gets this file.
export type Extension = unknown;
export interface Text {
  length: number;
  lines: number;
  line(n: number): { from: number; to: number; text: string };
  toString(): string;
}
export interface Finding {
  from: number;
  to: number;
  severity: "error" | "warning" | "info";
  message: string;
}
export interface TransactionSpec {
  effects?: unknown;
  selection?: { anchor: number };
  scrollIntoView?: boolean;
  userEvent?: string;
}
export class EditorState {
  doc: Text;
  selection: { main: { empty: boolean } };
  replaceSelection(text: string): TransactionSpec;
  wordAt(pos: number): { from: number; to: number } | null;
  static create(config: { doc: string; extensions: Extension[] }): EditorState;
}
export class EditorView {
  constructor(config: { state: EditorState; parent: Node; root: ShadowRoot });
  state: EditorState;
  dispatch(...specs: TransactionSpec[]): void;
  focus(): void;
  destroy(): void;
  static scrollIntoView(pos: number, options: { y: "center" }): unknown;
  setTabFocusMode(on: boolean): void;
  static domEventObservers(observers: {
    keydown(event: KeyboardEvent, view: EditorView): void;
    blur(event: FocusEvent, view: EditorView): void;
  }): Extension;
  static domEventHandlers(handlers: { beforeinput(event: InputEvent, view: EditorView): boolean }): Extension;
  static contentAttributes: { of(attributes: Record<string, string>): Extension };
  static updateListener: { of(call: (update: { docChanged: boolean; state: EditorState }) => void): Extension };
}
export class Compartment {
  of(extension: Extension): Extension;
  reconfigure(extension: Extension): unknown;
}
export const HighlightStyle: { define(specs: { tag: unknown; color?: string; fontStyle?: string }[]): unknown };
export const tags: Record<string, unknown>;
export const keymap: { of(bindings: readonly unknown[]): Extension };
export const defaultKeymap: readonly unknown[];
export const historyKeymap: readonly unknown[];
export const lintKeymap: readonly unknown[];
export const searchKeymap: readonly unknown[];
export const indentWithTab: unknown;
export const indentUnit: { of(unit: string): Extension };
export function bracketMatching(): Extension;
export function drawSelection(): Extension;
export function highlightActiveLine(): Extension;
export function highlightSpecialChars(): Extension;
export function history(): Extension;
export function indentOnInput(): Extension;
export function lineNumbers(): Extension;
export function lintGutter(): Extension;
export function search(config: { top: boolean }): Extension;
export function setDiagnostics(state: EditorState, found: Finding[]): TransactionSpec;
export function syntaxHighlighting(style: unknown): Extension;
export function cpp(): Extension;
export function python(): Extension;
