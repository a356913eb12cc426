-- Every table of the store. A change of one is a step in schema.py.

-- `firmware`: what a person says of it, as a JSON list. `reached`: it has answered since it was entered.
CREATE TABLE devices (
    device_id  TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    board_id   TEXT NOT NULL,
    labels     TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    firmware   TEXT NOT NULL DEFAULT '[]',
    reached    INTEGER NOT NULL DEFAULT 1
) STRICT;

-- `host`: the host of a cluster whose machine has the port, '' for what every host may reach.
CREATE TABLE faces (
    face_id   TEXT NOT NULL,
    host      TEXT NOT NULL DEFAULT '',
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    PRIMARY KEY (face_id, host)
) STRICT;
CREATE INDEX faces_of_device ON faces (device_id, position);

CREATE TABLE images (
    sha256     TEXT PRIMARY KEY,
    code       BLOB NOT NULL,
    source     TEXT,
    meta       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- The programs that devices should have. `claims`, `origin` (of a catalogue) and `times` are JSON. `silences`: how often the
-- board fell silent with it. `stopped_ms`: it is off its device, and its image is kept for a start.
CREATE TABLE desired_apps (
    device_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    sha256      TEXT NOT NULL REFERENCES images,
    heap_bytes  INTEGER NOT NULL,
    timers      INTEGER NOT NULL,
    watchdog_ms INTEGER NOT NULL,
    pins        TEXT NOT NULL,
    since_ms    INTEGER NOT NULL,
    claims      TEXT NOT NULL DEFAULT '{}',
    suspect_ms  INTEGER,
    kind        TEXT NOT NULL DEFAULT 'wasm',
    stopped_ms  INTEGER,
    origin      TEXT,
    times       TEXT,
    silences    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device_id, name)
) STRICT;

-- What the trial and the board showed when an image was installed there, as JSON.
CREATE TABLE proofs (
    device_id TEXT NOT NULL,
    sha256    TEXT NOT NULL REFERENCES images,
    at_ms     INTEGER NOT NULL,
    document  TEXT NOT NULL,
    PRIMARY KEY (device_id, sha256)
) STRICT;

-- `turn`: the turn or request that made it; `conversation`: where. One undo reverts all that one sentence did.
CREATE TABLE changes (
    change_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms        INTEGER NOT NULL,
    device_id    TEXT NOT NULL,
    kind         TEXT NOT NULL,
    summary      TEXT NOT NULL,
    forward      TEXT NOT NULL,
    inverse      TEXT,
    state        TEXT NOT NULL CHECK (state IN ('planned', 'done', 'failed', 'unknown')),
    undoes       INTEGER REFERENCES changes,
    undone_by    INTEGER REFERENCES changes,
    turn         TEXT,
    person       TEXT,
    conversation TEXT,
    host         TEXT
) STRICT;
CREATE INDEX changes_of_device ON changes (device_id, change_id);
CREATE INDEX changes_unsettled ON changes (state) WHERE state IN ('planned', 'unknown');
CREATE INDEX changes_of_turn ON changes (turn, change_id) WHERE turn IS NOT NULL;

-- Acts on programs of devices that did not answer: done when they are back.
CREATE TABLE deferred_acts (
    deferred_id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    act         TEXT NOT NULL,
    person      TEXT NOT NULL,
    turn        TEXT,
    place       TEXT,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'started', 'done', 'failed', 'cancelled', 'replaced')),
    tries       INTEGER NOT NULL,
    change_id   INTEGER REFERENCES changes,
    outcome     TEXT,
    ended_ms    INTEGER,
    told        INTEGER NOT NULL
) STRICT;
CREATE INDEX deferred_open ON deferred_acts (device_id, name) WHERE state IN ('waiting', 'started');
CREATE INDEX deferred_of_change ON deferred_acts (change_id);

CREATE TABLE effects (
    turn_id     TEXT NOT NULL,
    iteration   INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    tool        TEXT NOT NULL,
    arguments   TEXT NOT NULL,
    class       TEXT NOT NULL CHECK (class IN ('read', 'idempotent', 'once')),
    state       TEXT NOT NULL CHECK (state IN ('planned', 'started', 'done', 'failed', 'dropped')),
    result      TEXT,
    planned_ms  INTEGER NOT NULL,
    started_ms  INTEGER,
    finished_ms INTEGER,
    host        TEXT,
    PRIMARY KEY (turn_id, iteration, position)
) STRICT;
CREATE INDEX effects_unfinished ON effects (state) WHERE state IN ('planned', 'started');

-- Who may connect. Hashes only: no token and no secret can be read from here.
CREATE TABLE authority (
    only_one    INTEGER PRIMARY KEY CHECK (only_one = 1),
    fingerprint TEXT NOT NULL,
    since_ms    INTEGER NOT NULL
) STRICT;

CREATE TABLE certificates (
    serial     TEXT PRIMARY KEY,
    device_id  TEXT NOT NULL,
    issued_ms  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms    INTEGER,
    revoked_ms INTEGER
) STRICT;
CREATE INDEX certificates_of_device ON certificates (device_id);

CREATE TABLE tokens (
    hash      BLOB PRIMARY KEY CHECK (length(hash) = 32),
    device_id TEXT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('current', 'pending', 'retired', 'revoked')),
    made_ms   INTEGER NOT NULL,
    used_ms   INTEGER
) STRICT;
CREATE INDEX tokens_of_device ON tokens (device_id, made_ms);
CREATE UNIQUE INDEX one_live_token ON tokens (device_id, state) WHERE state IN ('current', 'pending');

CREATE TABLE pairing_secrets (
    hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
    device_id  TEXT,
    name       TEXT,
    board_id   TEXT,
    expires_ms INTEGER NOT NULL,
    claimed_ms INTEGER
) STRICT;

-- One-time codes of a cluster's hosts. Empty on a single host: they are in memory.
CREATE TABLE one_time_codes (
    kind     TEXT NOT NULL,
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    host     TEXT NOT NULL,
    about    TEXT NOT NULL,
    made_ms  INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    wanted   TEXT,
    answer   TEXT,
    PRIMARY KEY (kind, hash)
) STRICT, WITHOUT ROWID;

-- Users, their addresses on channels, the API's tokens, passwords and browsers' sessions. Of secrets only hashes.
CREATE TABLE people (
    person_id  TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE COLLATE NOCASE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'member', 'guest', 'read-only')),
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE person_addresses (
    channel     TEXT NOT NULL,
    external_id TEXT NOT NULL,
    person_id   TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
    added_ms    INTEGER NOT NULL,
    PRIMARY KEY (channel, external_id)
) STRICT;
CREATE INDEX addresses_of_person ON person_addresses (person_id);

CREATE TABLE person_tokens (
    token_id   TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    person_id  TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    made_ms    INTEGER NOT NULL,
    expires_ms INTEGER,
    used_ms    INTEGER,
    scope      TEXT NOT NULL DEFAULT 'all' CHECK (scope IN ('read', 'chat', 'act', 'all'))
) STRICT;
CREATE INDEX tokens_of_person ON person_tokens (person_id);

CREATE TABLE person_passwords (
    person_id TEXT PRIMARY KEY REFERENCES people ON DELETE CASCADE,
    hash      TEXT NOT NULL,
    set_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sign_ins (
    sign_in_id TEXT PRIMARY KEY,
    person_id  TEXT NOT NULL REFERENCES people ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    how        TEXT NOT NULL,
    address    TEXT NOT NULL,
    agent      TEXT NOT NULL,
    made_ms    INTEGER NOT NULL,
    used_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_ins_of_person ON sign_ins (person_id);

-- The link's durable messages: what waits for each device, and what of its own had an effect here.
CREATE TABLE links (
    device_id TEXT PRIMARY KEY,
    tx_epoch  BLOB NOT NULL CHECK (length(tx_epoch) = 8),
    acked_seq INTEGER NOT NULL DEFAULT 0,
    last_seq  INTEGER NOT NULL DEFAULT 0,
    rx_epoch  BLOB,
    rx_seq    INTEGER NOT NULL DEFAULT 0,
    applied   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE link_outbox (
    device_id  TEXT NOT NULL REFERENCES links ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    payload    BLOB NOT NULL,
    stored_ms  INTEGER NOT NULL,
    PRIMARY KEY (device_id, seq),
    UNIQUE (device_id, message_id)
) STRICT;

CREATE TABLE link_applied (
    device_id  TEXT NOT NULL REFERENCES links ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    PRIMARY KEY (device_id, message_id)
) STRICT;
CREATE INDEX link_applied_order ON link_applied (device_id, number);

-- What devices said in their last hello. `kinds` and `ota` are JSON.
CREATE TABLE link_presence (
    device_id    TEXT PRIMARY KEY,
    firmware     TEXT NOT NULL,
    board        TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    address      TEXT NOT NULL,
    seen_ms      INTEGER NOT NULL,
    kinds        TEXT NOT NULL DEFAULT '[]',
    ota          TEXT
) STRICT;

CREATE TABLE link_events (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id   TEXT NOT NULL,
    type        TEXT NOT NULL,
    name        TEXT NOT NULL,
    payload     BLOB NOT NULL,
    received_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX link_events_of_device ON link_events (device_id, number);

-- What devices asked this host to do and that has no end yet.
CREATE TABLE link_tasks (
    device_id  TEXT NOT NULL,
    task       TEXT NOT NULL,
    message_id BLOB NOT NULL,
    taken_ms   INTEGER NOT NULL,
    host       TEXT,
    PRIMARY KEY (device_id, task)
) STRICT;

-- Which host of a cluster has a device's connection, host NULL: none. Empty on a single host.
CREATE TABLE link_holders (
    device_id TEXT PRIMARY KEY,
    host      TEXT,
    fence     INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

-- Messages taken in and not answered yet, the turns that answer them, and what goes out.
CREATE TABLE inbox (
    message_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    channel     TEXT NOT NULL,
    chat_id     TEXT NOT NULL,
    key         TEXT,
    principal   TEXT NOT NULL,
    device      TEXT,
    text        TEXT NOT NULL,
    origin      TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'joined', 'answered', 'kept')),
    starts      INTEGER NOT NULL DEFAULT 0,
    joined      INTEGER REFERENCES inbox,
    host        TEXT
) STRICT;
CREATE UNIQUE INDEX inbox_keys ON inbox (channel, key) WHERE key IS NOT NULL;
CREATE INDEX inbox_open ON inbox (message_id) WHERE state != 'kept';
CREATE INDEX inbox_joined ON inbox (joined) WHERE joined IS NOT NULL;

CREATE TABLE inbox_attachments (
    message_id INTEGER NOT NULL REFERENCES inbox ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    name       TEXT,
    data       BLOB NOT NULL,
    PRIMARY KEY (message_id, position)
) STRICT;

CREATE TABLE turn_rows (
    message_id INTEGER NOT NULL REFERENCES inbox ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (message_id, position)
) STRICT;

CREATE TABLE outbox (
    outbound_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    channel      TEXT NOT NULL,
    chat_id      TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('answer', 'push')),
    person       TEXT NOT NULL,
    message_id   INTEGER,
    key          TEXT,
    body         TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    delivered_ms INTEGER,
    host         TEXT
) STRICT;
CREATE INDEX outbox_open ON outbox (channel, outbound_id) WHERE delivered_ms IS NULL;

-- What models cost: one row a day for each person, chat, model and task. Money in 1e-9 dollars.
CREATE TABLE usage (
    day           TEXT NOT NULL,
    person        TEXT NOT NULL,
    channel       TEXT NOT NULL,
    chat_id       TEXT NOT NULL,
    model         TEXT NOT NULL,
    task          TEXT NOT NULL,
    requests      INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    estimated     INTEGER NOT NULL,
    unpriced      INTEGER NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (day, person, channel, chat_id, model, task)
) STRICT, WITHOUT ROWID;

-- Schedules, and each time one was begun.
CREATE TABLE schedules (
    schedule_id INTEGER PRIMARY KEY AUTOINCREMENT,
    said        TEXT NOT NULL,
    what        TEXT NOT NULL,
    timing      TEXT NOT NULL,
    act         TEXT NOT NULL,
    principal   TEXT NOT NULL,
    channel     TEXT NOT NULL,
    chat_id     TEXT NOT NULL,
    device      TEXT,
    missed      TEXT NOT NULL CHECK (missed IN ('run', 'skip')),
    approved    TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('active', 'paused', 'over')),
    why         TEXT NOT NULL DEFAULT '',
    created_ms  INTEGER NOT NULL,
    next_ms     INTEGER
) STRICT;

CREATE TABLE schedule_runs (
    schedule_id INTEGER NOT NULL,
    due_ms      INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('claimed', 'started', 'done', 'failed', 'unknown', 'skipped')),
    woke        INTEGER NOT NULL,
    claimed_ms  INTEGER NOT NULL,
    ended_ms    INTEGER,
    result      TEXT NOT NULL DEFAULT '',
    host        TEXT,
    PRIMARY KEY (schedule_id, due_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_runs_open ON schedule_runs (state) WHERE state IN ('claimed', 'started');
CREATE INDEX schedule_runs_woke ON schedule_runs (claimed_ms) WHERE woke = 1;

-- Full-text search over memory, daily notes and conversations. The files are the truth.
CREATE TABLE note_people (number INTEGER PRIMARY KEY, person TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE note_files (
    path       TEXT PRIMARY KEY,
    mtime_ns   INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    read_bytes INTEGER NOT NULL,
    tail       BLOB NOT NULL
) STRICT;

CREATE TABLE notes (
    note_id INTEGER PRIMARY KEY,
    path    TEXT NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('memory', 'note', 'device', 'said', 'answered')),
    text    TEXT NOT NULL
) STRICT;
CREATE INDEX notes_of_file ON notes (path);
CREATE VIRTUAL TABLE notes_words USING fts5 (words, content = '', tokenize = 'porter unicode61 remove_diacritics 2');

-- Devices of xiaozhi's firmware: `client` is the SHA-256 of the id that the installation made for itself.
CREATE TABLE xiaozhi_clients (
    device_id TEXT PRIMARY KEY,
    client    BLOB NOT NULL,
    paired_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What devices measure: values by time; buckets of a minute and of an hour, by series. A series without a device is
-- deleted in steps. `minutes_ms`, `hours_ms`: up to where buckets are made; `*_gone_ms`: up to where values are deleted;
-- `event_number`: the last of link_events that was read for readings and crashes.
CREATE TABLE telemetry_series (
    series_id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id TEXT REFERENCES devices ON DELETE SET NULL,
    key       TEXT NOT NULL,
    UNIQUE (device_id, key)
) STRICT;

CREATE TABLE telemetry_raw (
    at_ms     INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    value     REAL NOT NULL,
    PRIMARY KEY (at_ms, series_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE telemetry_minutes (
    series_id INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    low       REAL NOT NULL,
    high      REAL NOT NULL,
    mean      REAL NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (series_id, at_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE telemetry_hours (
    series_id INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    low       REAL NOT NULL,
    high      REAL NOT NULL,
    mean      REAL NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (series_id, at_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE telemetry_state (
    only_one        INTEGER PRIMARY KEY CHECK (only_one = 1),
    minutes_ms      INTEGER NOT NULL,
    hours_ms        INTEGER NOT NULL,
    raw_gone_ms     INTEGER NOT NULL,
    minutes_gone_ms INTEGER NOT NULL,
    event_number    INTEGER NOT NULL
) STRICT;
INSERT INTO telemetry_state VALUES (1, 0, 0, 0, 0, 0);

-- Crashes that boards reported, grouped; who had them; the newest reports of each kind.
CREATE TABLE crash_groups (
    crash_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    program     TEXT,
    version     TEXT,
    title       TEXT NOT NULL,
    first_ms    INTEGER NOT NULL,
    last_ms     INTEGER NOT NULL,
    found_on    TEXT NOT NULL
) STRICT;

CREATE TABLE crash_devices (
    crash_id  INTEGER NOT NULL REFERENCES crash_groups ON DELETE CASCADE,
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    count     INTEGER NOT NULL,
    first_ms  INTEGER NOT NULL,
    last_ms   INTEGER NOT NULL,
    PRIMARY KEY (crash_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX crashes_of_device ON crash_devices (device_id);

CREATE TABLE crash_reports (
    report_id INTEGER PRIMARY KEY AUTOINCREMENT,
    crash_id  INTEGER NOT NULL REFERENCES crash_groups ON DELETE CASCADE,
    device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    at_ms     INTEGER NOT NULL,
    firmware  TEXT NOT NULL,
    trace     TEXT NOT NULL,
    log       TEXT NOT NULL
) STRICT;
CREATE INDEX crash_reports_of ON crash_reports (crash_id, report_id);
CREATE INDEX crash_reports_of_device ON crash_reports (device_id);

-- Public keys whose updates this host passes on; private ones are in no store.
CREATE TABLE firmware_keys (
    key_id     TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    public_der BLOB NOT NULL,
    added_ms   INTEGER NOT NULL
) STRICT;

-- Signed manifests as they are; the payload is a file by its SHA-256. `revisions` of boards: JSON.
CREATE TABLE firmware_releases (
    release_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind             TEXT NOT NULL CHECK (kind IN ('files', 'image', 'keys')),
    name             TEXT NOT NULL,
    board            TEXT NOT NULL,
    channel          TEXT NOT NULL,
    device           TEXT NOT NULL,
    version          TEXT NOT NULL,
    security_version INTEGER NOT NULL,
    allow_downgrade  INTEGER NOT NULL,
    sha256           TEXT NOT NULL,
    size_bytes       INTEGER NOT NULL,
    key_id           TEXT NOT NULL,
    created          TEXT NOT NULL,
    expires          TEXT NOT NULL,
    manifest         BLOB NOT NULL UNIQUE,
    signature        BLOB NOT NULL CHECK (length(signature) = 384),
    published_ms     INTEGER NOT NULL,
    published_by     TEXT NOT NULL,
    withdrawn_ms     INTEGER,
    revisions        TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE UNIQUE INDEX firmware_release_once
    ON firmware_releases (name, board, channel, device, version, allow_downgrade, revisions)
    WHERE withdrawn_ms IS NULL;

-- Each offer of a release to a device.
CREATE TABLE firmware_offers (
    offer_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id  TEXT NOT NULL,
    release_id INTEGER NOT NULL REFERENCES firmware_releases,
    version    TEXT NOT NULL,
    state      TEXT NOT NULL,
    progress   REAL NOT NULL,
    error      TEXT,
    offered_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    offered_by TEXT NOT NULL
) STRICT;
CREATE INDEX firmware_offers_of_device ON firmware_offers (device_id, offer_id);

-- The last that a device said of a version that nobody here offered it.
CREATE TABLE firmware_foreign (
    device_id  TEXT PRIMARY KEY,
    version    TEXT NOT NULL,
    state      TEXT NOT NULL,
    progress   REAL NOT NULL,
    error      TEXT,
    changed_ms INTEGER NOT NULL
) STRICT;

-- Updates of many boards in stages (docs/updates.md).
CREATE TABLE rollouts (
    rollout_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    version          TEXT NOT NULL,
    channel          TEXT NOT NULL,
    plan             TEXT NOT NULL,
    person_id        TEXT NOT NULL,
    undoes           INTEGER,
    began_ms         INTEGER NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('running', 'paused', 'halted', 'done', 'undone')),
    reason           TEXT NOT NULL,
    stage            INTEGER NOT NULL,
    stage_ms         INTEGER NOT NULL,
    crashes          INTEGER NOT NULL,
    soaking_since_ms INTEGER
) STRICT;

CREATE TABLE rollout_devices (
    rollout_id   INTEGER NOT NULL REFERENCES rollouts,
    position     INTEGER NOT NULL,
    device_id    TEXT NOT NULL,
    from_version TEXT NOT NULL,
    state        TEXT NOT NULL,
    error        TEXT NOT NULL,
    offered_ms   INTEGER,
    ended_ms     INTEGER,
    PRIMARY KEY (rollout_id, device_id)
) STRICT, WITHOUT ROWID;

-- What waits for the MQTT broker; its size, and what the full buffer lost, by kind; the retained messages that the broker
-- holds of a device; the id in this host's topics.
CREATE TABLE mqtt_buffer (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind    TEXT NOT NULL CHECK (kind IN ('event', 'telemetry')),
    topic   TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX mqtt_buffer_of_kind ON mqtt_buffer (kind, number);

CREATE TABLE mqtt_sizes (
    kind  TEXT PRIMARY KEY,
    rows  INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    lost  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO mqtt_sizes (kind, rows, bytes, lost) VALUES ('event', 0, 0, 0), ('telemetry', 0, 0, 0);

CREATE TABLE mqtt_published (
    device_id  TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    topics     TEXT NOT NULL,
    components TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE mqtt_host (id TEXT NOT NULL) STRICT;

-- Code that ran, runs or waits in the sandbox. The code itself and the files it left are in the home.
CREATE TABLE code_tasks (
    task_number       INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id         TEXT NOT NULL,
    asked_by          TEXT NOT NULL,
    device_id         TEXT,
    channel           TEXT NOT NULL,
    chat_id           TEXT NOT NULL,
    language          TEXT NOT NULL,
    code_bytes        INTEGER NOT NULL,
    code_sha256       TEXT NOT NULL,
    inputs            TEXT NOT NULL,
    keep              TEXT NOT NULL,
    allow             TEXT,
    limits            TEXT NOT NULL,
    state             TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    ending            TEXT NOT NULL,
    exit_code         INTEGER,
    reason            TEXT NOT NULL,
    output            BLOB NOT NULL,
    output_bytes      INTEGER NOT NULL,
    files             TEXT NOT NULL,
    refused           TEXT NOT NULL,
    kept_bytes        INTEGER NOT NULL,
    created_ms        INTEGER NOT NULL,
    started_ms        INTEGER,
    ended_ms          INTEGER,
    cpu_s             REAL,
    memory_peak_bytes INTEGER,
    host              TEXT
) STRICT;

-- Saved conversations, memory and persona of a cluster's hosts. A single host has them in files.
CREATE TABLE sessions (
    name       TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    summary    TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE TABLE session_messages (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL,
    at_s    INTEGER NOT NULL,
    adopted INTEGER NOT NULL,
    line    TEXT NOT NULL
) STRICT;
CREATE INDEX messages_of_session ON session_messages (name, at_s, adopted DESC, number);
CREATE INDEX numbers_of_session ON session_messages (name, number);

CREATE TABLE session_removals (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL) STRICT;

CREATE TABLE texts (
    name       TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    text       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
