// What the host's API answers, as far as the page reads it by name, for `tsc --checkJs`. No browser gets this file.
declare namespace api {
  /** What was refused, in the host's own words. */
  type Failure = { code: string; message: string; next: string | null; diagnostics?: { text: string }[]; replaceable?: string[] };
  /** GET /v1/me */
  type Me = { name: string; role: string; csrf: string | null; person_id: string; may: string };
  /** A line of a stream. */
  type Line = Record<string, any> & { type: string };

  /** Of GET /v1/changes */
  type Change = {
    change_id: number;
    local_time: string;
    device: string;
    did: string;
    summary: string;
    state: string;
    undoes: number | null;
    undone_by: number | null;
    undoable: boolean;
    person: string | null;
    by: string;
  };

  /** Of GET /v1/schedules */
  type Schedule = { schedule: number; when: string; what: string; by: string; created_ms: number };

  /** A part that can be wired, of GET /v1/parts. */
  type PartFacts = {
    name: string;
    title: string;
    kind: string;
    words: string[];
    roles: any[];
    addresses: number[];
    active: string | null;
    values: any[];
  };
  type PinChoice = { gpio: number; refused: string | null; care: string | null; shared_with: string[] };
  /** Of GET /v1/devices/{device}/wiring/places */
  type Role = {
    role: string;
    use: string;
    optional: boolean;
    instead_of_i2c: boolean;
    proposed: number | null;
    pins: PinChoice[];
  };

  /** GET /v1/devices/{device}/recording */
  type Recording = {
    running: boolean;
    length_ms: number;
    lines: { text: string; kind: "stimulus" | "followed" }[];
    note: string | null;
  };

  type Point = { at_ms: number; min: number; max: number; mean: number; count: number };
  /** Of GET /v1/devices/{device}/telemetry */
  type Series = { key: string; unit: string | null; points: Point[] };

  /** What is known of a part. */
  type PartState = {
    state: Record<string, number | null>;
    screen?: any;
    colors?: string[] | null;
    source?: string;
    says?: string | null;
  };
  type Changed = { state?: Record<string, number>; screen?: any; colors?: string[] };
  /** The time in ms, GPIO, level, duty (0 to 255). */
  type LevelRow = [number, number, number, number];
  /** A trial over its time. */
  type Play = {
    for_ms: number;
    cut_ms: number | null;
    parts: any[];
    changes: [number, string, Changed][];
    levels: LevelRow[];
    moments: Record<string, number>;
  };

  /** A fault of a program. */
  type Finding = {
    severity: string;
    message: string;
    file: string;
    line: number | null;
    column: number | null;
    explanation: string | null;
    next: string | null;
  };
}
