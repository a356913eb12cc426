BEGIN TRANSACTION;
CREATE TABLE authority (
            only_one    INTEGER PRIMARY KEY CHECK (only_one = 1),
            fingerprint TEXT NOT NULL,
            since_ms    INTEGER NOT NULL
        ) STRICT;
INSERT INTO "authority" VALUES(1,'47adbee8dda99d559406d8425e6fbfa1293d07197bb25198859d60b8de73ddbb',1795553853073);
CREATE TABLE certificates (
            serial     TEXT PRIMARY KEY,
            device_id  TEXT NOT NULL,
            issued_ms  INTEGER NOT NULL,
            expires_ms INTEGER NOT NULL,
            used_ms    INTEGER,
            revoked_ms INTEGER
        ) STRICT;
CREATE TABLE changes (
            change_id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_ms     INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            kind      TEXT NOT NULL,
            summary   TEXT NOT NULL,
            forward   TEXT NOT NULL,
            inverse   TEXT,
            state     TEXT NOT NULL CHECK (state IN ('planned', 'done', 'failed', 'unknown')),
            undoes    INTEGER REFERENCES changes,
            undone_by INTEGER REFERENCES changes
        , turn TEXT, person TEXT, conversation TEXT, host TEXT) STRICT;
INSERT INTO "changes" VALUES(1,1795553876313,'d-240f0068','app.deploy','deploy blink on desk','{"do":"app.put","name":"blink","version":{"sha256":"e26a27f47d8e245db5fd50c39821e336c0c2ae6359f87440f3669eed79f856ee","heap_bytes":8192,"timers":20,"watchdog_ms":180000,"pins":[10],"claims":{}}}','{"do":"app.remove","name":"blink"}','done',NULL,NULL,'socket.e543284b','owner','terminal',NULL);
INSERT INTO "changes" VALUES(2,1795553886109,'d-240f0068','app.upgrade','upgrade blink on desk','{"do":"app.put","name":"blink","version":{"sha256":"8c59c450ee21b159f9826f9d6cd37c7d651fc20e518b9bad5b36343193331187","heap_bytes":8192,"timers":20,"watchdog_ms":180000,"pins":[10],"claims":{}}}','{"do":"app.put","name":"blink","version":{"sha256":"e26a27f47d8e245db5fd50c39821e336c0c2ae6359f87440f3669eed79f856ee","heap_bytes":8192,"timers":20,"watchdog_ms":180000,"pins":[10],"claims":{},"kind":"wasm"}}','done',NULL,NULL,'socket.babb2f1a','owner','terminal',NULL);
CREATE TABLE code_tasks (
            task_number  INTEGER PRIMARY KEY AUTOINCREMENT,
            person_id    TEXT NOT NULL,
            asked_by     TEXT NOT NULL,
            device_id    TEXT,
            channel      TEXT NOT NULL,
            chat_id      TEXT NOT NULL,
            language     TEXT NOT NULL,
            code_bytes   INTEGER NOT NULL,
            code_sha256  TEXT NOT NULL,
            inputs       TEXT NOT NULL,
            keep         TEXT NOT NULL,
            allow        TEXT,
            limits       TEXT NOT NULL,
            state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
            ending       TEXT NOT NULL,
            exit_code    INTEGER,
            reason       TEXT NOT NULL,
            output       BLOB NOT NULL,
            output_bytes INTEGER NOT NULL,
            files        TEXT NOT NULL,
            refused      TEXT NOT NULL,
            kept_bytes   INTEGER NOT NULL,
            created_ms   INTEGER NOT NULL,
            started_ms   INTEGER,
            ended_ms     INTEGER,
            cpu_s        REAL,
            memory_peak_bytes INTEGER
        , host TEXT) STRICT;
CREATE TABLE crash_devices (
            crash_id  INTEGER NOT NULL REFERENCES crash_groups ON DELETE CASCADE,
            device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
            count     INTEGER NOT NULL,
            first_ms  INTEGER NOT NULL,
            last_ms   INTEGER NOT NULL,
            PRIMARY KEY (crash_id, device_id)
        ) STRICT, WITHOUT ROWID;
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
CREATE TABLE crash_reports (
            report_id INTEGER PRIMARY KEY AUTOINCREMENT,
            crash_id  INTEGER NOT NULL REFERENCES crash_groups ON DELETE CASCADE,
            device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
            at_ms     INTEGER NOT NULL,
            firmware  TEXT NOT NULL,
            trace     TEXT NOT NULL,
            log       TEXT NOT NULL
        ) STRICT;
CREATE TABLE deferred_acts (
            deferred_id INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id   TEXT NOT NULL,
            name        TEXT NOT NULL,
            at_ms       INTEGER NOT NULL,
            act         TEXT NOT NULL,
            person      TEXT NOT NULL,
            turn        TEXT,
            place       TEXT,
            state       TEXT NOT NULL
                CHECK (state IN ('waiting', 'started', 'done', 'failed', 'cancelled', 'replaced')),
            tries       INTEGER NOT NULL,
            change_id   INTEGER REFERENCES changes,
            outcome     TEXT,
            ended_ms    INTEGER,
            told        INTEGER NOT NULL
        ) STRICT;
CREATE TABLE desired_apps (
            device_id   TEXT NOT NULL,
            name        TEXT NOT NULL,
            sha256      TEXT NOT NULL REFERENCES images,
            heap_bytes  INTEGER NOT NULL,
            timers      INTEGER NOT NULL,
            watchdog_ms INTEGER NOT NULL,
            pins        TEXT NOT NULL,
            since_ms    INTEGER NOT NULL, claims TEXT NOT NULL DEFAULT '{}', suspect_ms INTEGER, kind TEXT NOT NULL DEFAULT 'wasm', stopped_ms INTEGER, origin TEXT, times TEXT, silences INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (device_id, name)
        ) STRICT;
INSERT INTO "desired_apps" VALUES('d-240f0068','blink','8c59c450ee21b159f9826f9d6cd37c7d651fc20e518b9bad5b36343193331187',8192,20,180000,'[10]',1795553886179,'{}',NULL,'wasm',NULL,NULL,NULL,0);
CREATE TABLE devices (
            device_id  TEXT PRIMARY KEY,
            name       TEXT NOT NULL UNIQUE,
            board_id   TEXT NOT NULL,
            labels     TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        , firmware TEXT NOT NULL DEFAULT '[]', reached INTEGER NOT NULL DEFAULT 1) STRICT;
INSERT INTO "devices" VALUES('d-240f0068','desk','virtual','["room=here"]',1795553863973,'[]',1);
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
            finished_ms INTEGER, host TEXT,
            PRIMARY KEY (turn_id, iteration, position)
        ) STRICT;
INSERT INTO "effects" VALUES('m1',0,0,'remember','{"text": "the relay is on pin 4"}','idempotent','done','{"content":"{\"success\":true,\"file\":\"memory/MEMORY.md\",\"line\":\"- the relay is on pin 4\",\"new\":true,\"evidence\":[{\"kind\":\"written\",\"text\":\"memory/MEMORY.md has it now: the relay is on pin 4\"}]}","ok":true,"evidence":[{"kind":"written","text":"memory/MEMORY.md has it now: the relay is on pin 4","edges":[],"spoken":null}],"error_code":null,"next_step":null,"foreign":false,"files":[]}',1795553891898,1795553891925,1795553891953,NULL);
CREATE TABLE "faces" (
            face_id   TEXT NOT NULL,
            host      TEXT NOT NULL DEFAULT '',
            device_id TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
            position  INTEGER NOT NULL,
            PRIMARY KEY (face_id, host)
        ) STRICT;
INSERT INTO "faces" VALUES('wasmachine://BOARD','','d-240f0068',0);
CREATE TABLE firmware_foreign (
            device_id  TEXT PRIMARY KEY,
            version    TEXT NOT NULL,
            state      TEXT NOT NULL,
            progress   REAL NOT NULL,
            error      TEXT,
            changed_ms INTEGER NOT NULL
        ) STRICT;
CREATE TABLE firmware_keys (
            key_id     TEXT PRIMARY KEY,
            name       TEXT NOT NULL,
            public_der BLOB NOT NULL,
            added_ms   INTEGER NOT NULL
        ) STRICT;
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
            withdrawn_ms     INTEGER
        , revisions TEXT NOT NULL DEFAULT '[]') STRICT;
CREATE TABLE images (
            sha256     TEXT PRIMARY KEY,
            code       BLOB NOT NULL,
            source     TEXT,
            meta       TEXT NOT NULL,
            created_ms INTEGER NOT NULL
        ) STRICT;
INSERT INTO "images" VALUES('e26a27f47d8e245db5fd50c39821e336c0c2ae6359f87440f3669eed79f856ee',X'0061736D0100000001230760000060037F7F7F017F60017F017F60027F7F017F60017F006000017F60027F7F0002A0010A03656E76057772697465000103656E760472656164000103656E7605696F63746C000103656E76046F70656E000103656E7605636C6F7365000203656E76067072696E7466000303656E760561626F7274000403656E76147761736D5F6765745F7379735F7469636B5F6D73000503656E76117761736D5F6372656174655F74696D6572000103656E76127761736D5F74696D65725F64657374726F79000403121100000306020401010400060301040000000405017001030305030100010613037F014180200B7F0041B4240B7F0041C0240B076C07066D656D6F72790200076F6E5F696E6974000A195F5F696E6469726563745F66756E6374696F6E5F7461626C6501000A6F6E5F64657374726F79001A116F6E5F74696D65725F63616C6C6261636B00170A5F5F646174615F656E6403010B5F5F686561705F6261736503020908010041010B020B130AA10C1125004100410A4102108C808080003602D0A080800041E4004181808080001095808080001A0B110041002802D0A0808000108F808080000B980101017F23808080800041106B22022480808080004185A0808000200041808080A001418080802020014102711B109180808000210020022001410276410771220136020C024002402001450D0020004100480D00417F21012000418182022002410C6A109080808000417F4A0D0020001092808080000C010B20004180026A417F2000417F4A1B21010B200241106A24808080800020010B5301017F23808080800041106B2202248080808000200220014100473A000F0240200041807E6A2002410F6A41011080808080004101460D004180A080800020001094808080000B200241106A2480808080000B5C01017F23808080800041106B2201248080808000200141003A000F0240200041807E6A2001410F6A41011081808080004101460D004180A080800020001094808080000B20012D000F2100200141106A24808080800020004100470B150020002000108E80808000410173108D808080000B6E01027F23808080800041E0016B2203248080808000417F21040240200141818202470D00200320023602142003428180808010370204200342818080809080800237020C2003200341046A360200200041818202200310828080800021040B200341E0016A24808080800020040BFB0101037F23808080800041206B22032480808080000240024020002D000022040D00200321000C010B200041016A2105200321000340200020043A0000200041016A210020052D00002104200541016A210520040D000B0B02402001410A480D0020002001410A6E410A704130723A0000200041016A21000B200041003A000120002001410A6F41306A3A000041807F2100024002400340200041E0A18080006A280200450D01200041046A22000D000B417F21040C010B417F2104200141E3004B0D002000450D0020032002410010838080800022044100480D00200041E0A18080006A200441016A3602000B200341206A24808080800020040B4D01047F200041016A210141807F2102200041004821030340024020030D00200241E0A18080006A22042802002001470D002004410036020020001084808080001A0B200241046A22020D000B0B2D01017F41FC0021000340200041E0A08080006A280200417F6A1092808080002000417C6A2200417C470D000B0B7E01017F23808080800041106B22022480808080000240024002402001417F470D0041002D00E0A18080004101710D010B2002200036020820022000360200200220013602044190A080800020021085808080001A2001417F470D01410041013A00E0A18080000B200241106A2480808080000F0B4100108680808000000B0E002000200141001096808080000BF00101057F417F210302402001450D004100210420004101200041014B1B22054100480D004100210003400240200441F0A18080006A2802000D00417F210310878080800021062005410141011088808080002207417F460D0220044183A28080006A41003A000020044182A28080006A20023A0000200441FCA18080006A2005360200200441F8A18080006A2006360200200441F4A18080006A2007360200200441F0A18080006A200136020020044180A28080006A220420042F010041016A41FFFF017122043B0100200441047420006B0F0B417F21032000417F6A2100200441146A220441C002470D000B0B20030BF60101037F4100210141002102024003400240200141F0A18080006A2802002203450D00200141F4A18080006A2802002000470D00024020014183A28080006A22002D00000D00108780808000200141F8A18080006A2802006B200141FCA18080006A280200490D03200141F0A18080006A28020021030B200041013A0000410020014180A28080006A2F010041047420026B3602B0A4808000024020014182A28080006A2D00004101470D00200141F0A18080006A4100360200200141F4A18080006A2802001089808080000B2003118080808000000F0B2002417F6A2102200141146A220141C002470D000B20001089808080000B0B02000B02000B20001098808080000240418280808000450D001093808080000B1099808080000B0B5401004180200B4D6770696F002F6465762F6770696F2F0025732025643A206E6F74206F70656E2C206F72206E6F7420666F7220746869733B2075736520776861742025735F6F70656E2072657475726E65640A00','#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
','{"name":"blink","compiler":"zig 0.17.0"}',1795553876264);
INSERT INTO "images" VALUES('8c59c450ee21b159f9826f9d6cd37c7d651fc20e518b9bad5b36343193331187',X'0061736D0100000001230760000060037F7F7F017F60017F017F60027F7F017F60017F006000017F60027F7F0002A0010A03656E76057772697465000103656E760472656164000103656E7605696F63746C000103656E76046F70656E000103656E7605636C6F7365000203656E76067072696E7466000303656E760561626F7274000403656E76147761736D5F6765745F7379735F7469636B5F6D73000503656E76117761736D5F6372656174655F74696D6572000103656E76127761736D5F74696D65725F64657374726F79000403121100000306020401010400060301040000000405017001030305030100010613037F014180200B7F0041B4240B7F0041C0240B076C07066D656D6F72790200076F6E5F696E6974000A195F5F696E6469726563745F66756E6374696F6E5F7461626C6501000A6F6E5F64657374726F79001A116F6E5F74696D65725F63616C6C6261636B00170A5F5F646174615F656E6403010B5F5F686561705F6261736503020908010041010B020B130AA00C1124004100410A4102108C808080003602D0A080800041324181808080001095808080001A0B110041002802D0A0808000108F808080000B980101017F23808080800041106B22022480808080004185A0808000200041808080A001418080802020014102711B109180808000210020022001410276410771220136020C024002402001450D0020004100480D00417F21012000418182022002410C6A109080808000417F4A0D0020001092808080000C010B20004180026A417F2000417F4A1B21010B200241106A24808080800020010B5301017F23808080800041106B2202248080808000200220014100473A000F0240200041807E6A2002410F6A41011080808080004101460D004180A080800020001094808080000B200241106A2480808080000B5C01017F23808080800041106B2201248080808000200141003A000F0240200041807E6A2001410F6A41011081808080004101460D004180A080800020001094808080000B20012D000F2100200141106A24808080800020004100470B150020002000108E80808000410173108D808080000B6E01027F23808080800041E0016B2203248080808000417F21040240200141818202470D00200320023602142003428180808010370204200342818080809080800237020C2003200341046A360200200041818202200310828080800021040B200341E0016A24808080800020040BFB0101037F23808080800041206B22032480808080000240024020002D000022040D00200321000C010B200041016A2105200321000340200020043A0000200041016A210020052D00002104200541016A210520040D000B0B02402001410A480D0020002001410A6E410A704130723A0000200041016A21000B200041003A000120002001410A6F41306A3A000041807F2100024002400340200041E0A18080006A280200450D01200041046A22000D000B417F21040C010B417F2104200141E3004B0D002000450D0020032002410010838080800022044100480D00200041E0A18080006A200441016A3602000B200341206A24808080800020040B4D01047F200041016A210141807F2102200041004821030340024020030D00200241E0A18080006A22042802002001470D002004410036020020001084808080001A0B200241046A22020D000B0B2D01017F41FC0021000340200041E0A08080006A280200417F6A1092808080002000417C6A2200417C470D000B0B7E01017F23808080800041106B22022480808080000240024002402001417F470D0041002D00E0A18080004101710D010B2002200036020820022000360200200220013602044190A080800020021085808080001A2001417F470D01410041013A00E0A18080000B200241106A2480808080000F0B4100108680808000000B0E002000200141001096808080000BF00101057F417F210302402001450D004100210420004101200041014B1B22054100480D004100210003400240200441F0A18080006A2802000D00417F210310878080800021062005410141011088808080002207417F460D0220044183A28080006A41003A000020044182A28080006A20023A0000200441FCA18080006A2005360200200441F8A18080006A2006360200200441F4A18080006A2007360200200441F0A18080006A200136020020044180A28080006A220420042F010041016A41FFFF017122043B0100200441047420006B0F0B417F21032000417F6A2100200441146A220441C002470D000B0B20030BF60101037F4100210141002102024003400240200141F0A18080006A2802002203450D00200141F4A18080006A2802002000470D00024020014183A28080006A22002D00000D00108780808000200141F8A18080006A2802006B200141FCA18080006A280200490D03200141F0A18080006A28020021030B200041013A0000410020014180A28080006A2F010041047420026B3602B0A4808000024020014182A28080006A2D00004101470D00200141F0A18080006A4100360200200141F4A18080006A2802001089808080000B2003118080808000000F0B2002417F6A2102200141146A220141C002470D000B20001089808080000B0B02000B02000B20001098808080000240418280808000450D001093808080000B1099808080000B0B5401004180200B4D6770696F002F6465762F6770696F2F0025732025643A206E6F74206F70656E2C206F72206E6F7420666F7220746869733B2075736520776861742025735F6F70656E2072657475726E65640A00','#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(50, tick); }
','{"name":"blink","compiler":"zig 0.17.0"}',1795553886081);
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
            joined      INTEGER REFERENCES inbox
        , host TEXT) STRICT;
INSERT INTO "inbox" VALUES(1,'terminal','terminal',NULL,'owner',NULL,'remember that the relay is on pin 4','person',1795553891363,'kept',1,NULL,NULL);
CREATE TABLE inbox_attachments (
            message_id INTEGER NOT NULL REFERENCES inbox ON DELETE CASCADE,
            position   INTEGER NOT NULL,
            kind       TEXT NOT NULL,
            media_type TEXT NOT NULL,
            name       TEXT,
            data       BLOB NOT NULL,
            PRIMARY KEY (message_id, position)
        ) STRICT;
CREATE TABLE link_applied (
            device_id  TEXT NOT NULL REFERENCES links ON DELETE CASCADE,
            number     INTEGER NOT NULL,
            message_id BLOB NOT NULL,
            PRIMARY KEY (device_id, message_id)
        ) STRICT;
CREATE TABLE link_events (
            number      INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id   TEXT NOT NULL,
            type        TEXT NOT NULL,
            name        TEXT NOT NULL,
            payload     BLOB NOT NULL,
            received_ms INTEGER NOT NULL
        ) STRICT;
CREATE TABLE link_holders (
            device_id TEXT PRIMARY KEY,
            host      TEXT,
            fence     INTEGER NOT NULL UNIQUE
        ) STRICT, WITHOUT ROWID;
CREATE TABLE link_outbox (
            device_id  TEXT NOT NULL REFERENCES links ON DELETE CASCADE,
            seq        INTEGER NOT NULL,
            message_id BLOB NOT NULL,
            payload    BLOB NOT NULL,
            stored_ms  INTEGER NOT NULL,
            PRIMARY KEY (device_id, seq),
            UNIQUE (device_id, message_id)
        ) STRICT;
CREATE TABLE link_presence (
            device_id    TEXT PRIMARY KEY,
            firmware     TEXT NOT NULL,
            board        TEXT NOT NULL,
            capabilities TEXT NOT NULL,
            address      TEXT NOT NULL,
            seen_ms      INTEGER NOT NULL
        , kinds TEXT NOT NULL DEFAULT '[]', ota TEXT) STRICT;
CREATE TABLE link_tasks (
            device_id  TEXT NOT NULL,
            task       TEXT NOT NULL,
            message_id BLOB NOT NULL,
            taken_ms   INTEGER NOT NULL, host TEXT,
            PRIMARY KEY (device_id, task)
        ) STRICT;
CREATE TABLE links (
            device_id TEXT PRIMARY KEY,
            tx_epoch  BLOB NOT NULL CHECK (length(tx_epoch) = 8),
            acked_seq INTEGER NOT NULL DEFAULT 0,
            last_seq  INTEGER NOT NULL DEFAULT 0,
            rx_epoch  BLOB,
            rx_seq    INTEGER NOT NULL DEFAULT 0,
            applied   INTEGER NOT NULL DEFAULT 0
        ) STRICT;
CREATE TABLE mqtt_buffer (
            number  INTEGER PRIMARY KEY AUTOINCREMENT,
            kind    TEXT NOT NULL CHECK (kind IN ('event', 'telemetry')),
            topic   TEXT NOT NULL,
            payload BLOB NOT NULL
        ) STRICT;
CREATE TABLE mqtt_host (id TEXT NOT NULL) STRICT;
CREATE TABLE mqtt_published (
            device_id  TEXT PRIMARY KEY,
            name       TEXT NOT NULL,
            topics     TEXT NOT NULL,
            components TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
CREATE TABLE mqtt_sizes (
            kind  TEXT PRIMARY KEY,
            rows  INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            lost  INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO "mqtt_sizes" VALUES('event',0,0,0);
INSERT INTO "mqtt_sizes" VALUES('telemetry',0,0,0);
CREATE TABLE note_files (
            path       TEXT PRIMARY KEY,
            mtime_ns   INTEGER NOT NULL,
            size_bytes INTEGER NOT NULL,
            read_bytes INTEGER NOT NULL,
            tail       BLOB NOT NULL
        ) STRICT;
CREATE TABLE note_people (number INTEGER PRIMARY KEY, person TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE notes (
            note_id INTEGER PRIMARY KEY,
            path    TEXT NOT NULL,
            kind    TEXT NOT NULL CHECK (kind IN ('memory', 'note', 'device', 'said', 'answered')),
            text    TEXT NOT NULL
        ) STRICT;
PRAGMA writable_schema=ON;
INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)VALUES('table','notes_words','notes_words',0,'CREATE VIRTUAL TABLE notes_words USING fts5 (
            words, content = '''', tokenize = ''porter unicode61 remove_diacritics 2''
        )');
CREATE TABLE 'notes_words_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO "notes_words_config" VALUES('version',4);
CREATE TABLE 'notes_words_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO "notes_words_data" VALUES(1,X'');
INSERT INTO "notes_words_data" VALUES(10,X'00000000000000');
CREATE TABLE 'notes_words_docsize'(id INTEGER PRIMARY KEY, sz BLOB);
CREATE TABLE 'notes_words_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;
CREATE TABLE old_texts (
            name    TEXT NOT NULL,
            version INTEGER NOT NULL,
            kept_ms INTEGER NOT NULL,
            text    TEXT NOT NULL,
            PRIMARY KEY (name, version)
        ) STRICT, WITHOUT ROWID;
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
            delivered_ms INTEGER
        , host TEXT) STRICT;
INSERT INTO "outbox" VALUES(1,'terminal','terminal','answer','owner',1,NULL,'{"text":"Remembered: the relay is on pin 4 (memory/MEMORY.md).","actions":[{"tool":"remember","arguments":"{\"text\": \"the relay is on pin 4\"}","effect":"idempotent","outcome":"done","evidence":[{"kind":"written","text":"memory/MEMORY.md has it now: the relay is on pin 4","edges":[],"spoken":null}],"reason":""}],"evidence":[{"kind":"written","text":"memory/MEMORY.md has it now: the relay is on pin 4","edges":[],"spoken":null}],"usage":{"input_tokens":0,"output_tokens":0,"cost_usd":0.0,"cached_tokens":0},"error_code":null,"next_step":null,"outbound_id":null,"question":"{\"question\":null,\"act\":{\"parse\":{\"kind\":\"read_pin\",\"values\":{\"pin\":4},\"loose\":false,\"when\":null,\"confirmed\":false,\"undoes\":[],\"stops\":null,\"replaces\":null},\"said\":\"remember that the relay is on pin 4\",\"device\":\"desk\",\"done\":true,\"changes\":[],\"app\":null,\"replaced\":false,\"stopped\":false,\"schedule\":null,\"others\":[],\"age\":0},\"unlogged\":{\"tool\":\"remember\",\"schedule\":null,\"lines\":[\"the relay is on pin 4\"],\"age\":0}}","files":[],"foreign_s":null}',1795553891976,1795553891981,NULL);
CREATE TABLE pairing_secrets (
            hash       BLOB PRIMARY KEY CHECK (length(hash) = 32),
            device_id  TEXT,
            name       TEXT,
            board_id   TEXT,
            expires_ms INTEGER NOT NULL,
            claimed_ms INTEGER
        ) STRICT;
CREATE TABLE "people" (
            person_id  TEXT PRIMARY KEY,
            name       TEXT NOT NULL UNIQUE COLLATE NOCASE,
            role       TEXT NOT NULL CHECK (role IN ('owner', 'member', 'guest', 'read-only')),
            created_ms INTEGER NOT NULL
        ) STRICT;
INSERT INTO "people" VALUES('owner','owner','owner',1795553852964);
INSERT INTO "people" VALUES('p-37484f05','ada','member',1795553898753);
CREATE TABLE "person_addresses" (
            channel     TEXT NOT NULL,
            external_id TEXT NOT NULL,
            person_id   TEXT NOT NULL REFERENCES "people" ON DELETE CASCADE,
            added_ms    INTEGER NOT NULL,
            PRIMARY KEY (channel, external_id)
        ) STRICT;
CREATE TABLE person_passwords (
            person_id TEXT PRIMARY KEY REFERENCES people ON DELETE CASCADE,
            hash      TEXT NOT NULL,
            set_ms    INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
CREATE TABLE "person_tokens" (
            token_id   TEXT PRIMARY KEY,
            name       TEXT NOT NULL UNIQUE,
            person_id  TEXT NOT NULL REFERENCES "people" ON DELETE CASCADE,
            hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
            made_ms    INTEGER NOT NULL,
            expires_ms INTEGER,
            used_ms    INTEGER,
            scope      TEXT NOT NULL DEFAULT 'all' CHECK (scope IN ('read', 'chat', 'act', 'all'))
        ) STRICT;
CREATE TABLE proofs (
            device_id TEXT NOT NULL,
            sha256    TEXT NOT NULL REFERENCES images,
            at_ms     INTEGER NOT NULL,
            document  TEXT NOT NULL,
            PRIMARY KEY (device_id, sha256)
        ) STRICT;
INSERT INTO "proofs" VALUES('d-240f0068','e26a27f47d8e245db5fd50c39821e336c0c2ae6359f87440f3669eed79f856ee',1795553876539,'{"proof":"no expectation given: this is what it did","expected":[],"trial":{"edges":[[100.015,10,1],[200.01,10,0],[300.01,10,1],[400.01,10,0],[500.01,10,1],[600.01,10,0],[700.01,10,1],[800.01,10,0],[900.01,10,1],[1000.01,10,0],[1100.01,10,1],[1200.01,10,0],[1300.01,10,1],[1400.01,10,0],[1500.01,10,1],[1600.01,10,0],[1700.01,10,1],[1800.01,10,0],[1900.01,10,1],[2000.01,10,0],[2100.01,10,1],[2200.01,10,0],[2300.01,10,1],[2400.01,10,0],[2500.01,10,1],[2600.01,10,0],[2700.01,10,1],[2800.01,10,0],[2900.01,10,1],[3000.01,10,0],[3100.01,10,1],[3200.01,10,0],[3300.01,10,1],[3400.01,10,0],[3500.01,10,1],[3600.01,10,0],[3700.01,10,1],[3800.01,10,0],[3900.01,10,1],[4000.01,10,0],[4100.01,10,1],[4200.01,10,0],[4300.01,10,1],[4400.01,10,0],[4500.01,10,1],[4600.01,10,0],[4700.01,10,1],[4800.01,10,0],[4900.01,10,1],[5000.01,10,0],[5100.01,10,1],[5200.01,10,0],[5300.01,10,1],[5400.01,10,0],[5500.01,10,1],[5600.01,10,0],[5700.01,10,1],[5800.01,10,0],[5900.01,10,1],[6000.01,10,0],[6100.01,10,1],[6200.01,10,0],[6300.01,10,1],[6400.01,10,0],[6500.01,10,1],[6600.01,10,0],[6700.01,10,1],[6800.01,10,0],[6900.01,10,1],[7000.01,10,0],[7100.01,10,1],[7200.01,10,0],[7300.01,10,1],[7400.01,10,0],[7500.01,10,1],[7600.01,10,0],[7700.01,10,1],[7800.01,10,0],[7900.01,10,1],[8000.01,10,0],[8100.01,10,1],[8200.01,10,0],[8300.01,10,1],[8400.01,10,0],[8500.01,10,1],[8600.01,10,0],[8700.01,10,1],[8800.01,10,0],[8900.01,10,1],[9000.01,10,0],[9100.01,10,1],[9200.01,10,0],[9300.01,10,1],[9400.01,10,0],[9500.01,10,1],[9600.01,10,0],[9700.01,10,1],[9800.01,10,0],[9900.01,10,1]],"board_ms":10000.0},"evidence":{"kind":"accepted","text":"accepted only: the board lists it, but has no read-back of its work, so nobody has seen it work","edges":[]},"verified":true}');
INSERT INTO "proofs" VALUES('d-240f0068','8c59c450ee21b159f9826f9d6cd37c7d651fc20e518b9bad5b36343193331187',1795553886193,'{"proof":"no expectation given: this is what it did","expected":[],"trial":{"edges":[[50.015,10,1],[100.01,10,0],[150.01,10,1],[200.01,10,0],[250.01,10,1],[300.01,10,0],[350.01,10,1],[400.01,10,0],[450.01,10,1],[500.01,10,0],[550.01,10,1],[600.01,10,0],[650.01,10,1],[700.01,10,0],[750.01,10,1],[800.01,10,0],[850.01,10,1],[900.01,10,0],[950.01,10,1],[1000.01,10,0],[1050.01,10,1],[1100.01,10,0],[1150.01,10,1],[1200.01,10,0],[1250.01,10,1],[1300.01,10,0],[1350.01,10,1],[1400.01,10,0],[1450.01,10,1],[1500.01,10,0],[1550.01,10,1],[1600.01,10,0],[1650.01,10,1],[1700.01,10,0],[1750.01,10,1],[1800.01,10,0],[1850.01,10,1],[1900.01,10,0],[1950.01,10,1],[2000.01,10,0],[2050.01,10,1],[2100.01,10,0],[2150.01,10,1],[2200.01,10,0],[2250.01,10,1],[2300.01,10,0],[2350.01,10,1],[2400.01,10,0],[2450.01,10,1],[2500.01,10,0],[2550.01,10,1],[2600.01,10,0],[2650.01,10,1],[2700.01,10,0],[2750.01,10,1],[2800.01,10,0],[2850.01,10,1],[2900.01,10,0],[2950.01,10,1],[3000.01,10,0],[3050.01,10,1],[3100.01,10,0],[3150.01,10,1],[3200.01,10,0],[3250.01,10,1],[3300.01,10,0],[3350.01,10,1],[3400.01,10,0],[3450.01,10,1],[3500.01,10,0],[3550.01,10,1],[3600.01,10,0],[3650.01,10,1],[3700.01,10,0],[3750.01,10,1],[3800.01,10,0],[3850.01,10,1],[3900.01,10,0],[3950.01,10,1],[4000.01,10,0],[4050.01,10,1],[4100.01,10,0],[4150.01,10,1],[4200.01,10,0],[4250.01,10,1],[4300.01,10,0],[4350.01,10,1],[4400.01,10,0],[4450.01,10,1],[4500.01,10,0],[4550.01,10,1],[4600.01,10,0],[4650.01,10,1],[4700.01,10,0],[4750.01,10,1],[4800.01,10,0],[4850.01,10,1],[4900.01,10,0],[4950.01,10,1],[5000.01,10,0],[5050.01,10,1],[5100.01,10,0],[5150.01,10,1],[5200.01,10,0],[5250.01,10,1],[5300.01,10,0],[5350.01,10,1],[5400.01,10,0],[5450.01,10,1],[5500.01,10,0],[5550.01,10,1],[5600.01,10,0],[5650.01,10,1],[5700.01,10,0],[5750.01,10,1],[5800.01,10,0],[5850.01,10,1],[5900.01,10,0],[5950.01,10,1],[6000.01,10,0],[6050.01,10,1],[6100.01,10,0],[6150.01,10,1],[6200.01,10,0],[6250.01,10,1],[6300.01,10,0],[6350.01,10,1],[6400.01,10,0],[6450.01,10,1],[6500.01,10,0],[6550.01,10,1],[6600.01,10,0],[6650.01,10,1],[6700.01,10,0],[6750.01,10,1],[6800.01,10,0],[6850.01,10,1],[6900.01,10,0],[6950.01,10,1],[7000.01,10,0],[7050.01,10,1],[7100.01,10,0],[7150.01,10,1],[7200.01,10,0],[7250.01,10,1],[7300.01,10,0],[7350.01,10,1],[7400.01,10,0],[7450.01,10,1],[7500.01,10,0],[7550.01,10,1],[7600.01,10,0],[7650.01,10,1],[7700.01,10,0],[7750.01,10,1],[7800.01,10,0],[7850.01,10,1],[7900.01,10,0],[7950.01,10,1],[8000.01,10,0],[8050.01,10,1],[8100.01,10,0],[8150.01,10,1],[8200.01,10,0],[8250.01,10,1],[8300.01,10,0],[8350.01,10,1],[8400.01,10,0],[8450.01,10,1],[8500.01,10,0],[8550.01,10,1],[8600.01,10,0],[8650.01,10,1],[8700.01,10,0],[8750.01,10,1],[8800.01,10,0],[8850.01,10,1],[8900.01,10,0],[8950.01,10,1],[9000.01,10,0],[9050.01,10,1],[9100.01,10,0],[9150.01,10,1],[9200.01,10,0],[9250.01,10,1],[9300.01,10,0],[9350.01,10,1],[9400.01,10,0],[9450.01,10,1],[9500.01,10,0],[9550.01,10,1],[9600.01,10,0],[9650.01,10,1],[9700.01,10,0],[9750.01,10,1],[9800.01,10,0],[9850.01,10,1],[9900.01,10,0],[9950.01,10,1]],"board_ms":10000.0},"evidence":{"kind":"accepted","text":"accepted only: the board lists it, but has no read-back of its work, so nobody has seen it work","edges":[]},"verified":true}');
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
CREATE TABLE rollouts (
            rollout_id INTEGER PRIMARY KEY AUTOINCREMENT,
            version    TEXT NOT NULL,
            channel    TEXT NOT NULL,
            plan       TEXT NOT NULL,
            person_id  TEXT NOT NULL,
            undoes     INTEGER,
            began_ms   INTEGER NOT NULL,
            state      TEXT NOT NULL CHECK (state IN ('running', 'paused', 'halted', 'done', 'undone')),
            reason     TEXT NOT NULL,
            stage      INTEGER NOT NULL,
            stage_ms   INTEGER NOT NULL,
            crashes    INTEGER NOT NULL,
            soaking_since_ms INTEGER
        ) STRICT;
CREATE TABLE schedule_runs (
            schedule_id INTEGER NOT NULL,
            due_ms      INTEGER NOT NULL,
            state       TEXT NOT NULL CHECK (state IN ('claimed', 'started', 'done', 'failed', 'unknown', 'skipped')),
            woke        INTEGER NOT NULL,
            claimed_ms  INTEGER NOT NULL,
            ended_ms    INTEGER,
            result      TEXT NOT NULL DEFAULT '', host TEXT,
            PRIMARY KEY (schedule_id, due_ms)
        ) STRICT, WITHOUT ROWID;
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
INSERT INTO "schedules" VALUES(1,'every day at 7','turn on pin 4 on desk','{"kind": "cron", "expression": "0 7 * * *", "zone": "Etc/UTC"}','{"kind": "tool", "tool": "gpio-set", "arguments": "{\"pin\": 4, \"level\": 1, \"device\": \"d-240f0068\"}", "devices": {"d-240f0068": "desk"}}','owner','terminal','terminal','d-240f0068','skip','act','active','',1795553895457,1795590000000);
CREATE TABLE session_messages (
            number  INTEGER PRIMARY KEY AUTOINCREMENT,
            name    TEXT NOT NULL,
            at_s    INTEGER NOT NULL,
            adopted INTEGER NOT NULL,
            line    TEXT NOT NULL
        ) STRICT;
CREATE TABLE session_removals (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL) STRICT;
CREATE TABLE sessions (
            name       TEXT PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            changed_ms INTEGER NOT NULL,
            summary    TEXT NOT NULL DEFAULT ''
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
CREATE TABLE telemetry_hours (
            series_id INTEGER NOT NULL,
            at_ms     INTEGER NOT NULL,
            low       REAL NOT NULL,
            high      REAL NOT NULL,
            mean      REAL NOT NULL,
            count     INTEGER NOT NULL,
            PRIMARY KEY (series_id, at_ms)
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
CREATE TABLE telemetry_raw (
            at_ms     INTEGER NOT NULL,
            series_id INTEGER NOT NULL,
            value     REAL NOT NULL,
            PRIMARY KEY (at_ms, series_id)
        ) STRICT, WITHOUT ROWID;
CREATE TABLE telemetry_series (
            series_id INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id TEXT REFERENCES devices ON DELETE SET NULL,
            key       TEXT NOT NULL,
            UNIQUE (device_id, key)
        ) STRICT;
CREATE TABLE telemetry_state (
            only_one        INTEGER PRIMARY KEY CHECK (only_one = 1),
            minutes_ms      INTEGER NOT NULL,
            hours_ms        INTEGER NOT NULL,
            raw_gone_ms     INTEGER NOT NULL,
            minutes_gone_ms INTEGER NOT NULL,
            event_number    INTEGER NOT NULL
        ) STRICT;
INSERT INTO "telemetry_state" VALUES(1,1795553760000,1795550400000,0,0,0);
CREATE TABLE texts (
            name       TEXT PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            changed_ms INTEGER NOT NULL,
            version    INTEGER NOT NULL,
            text       TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
            hash      BLOB PRIMARY KEY CHECK (length(hash) = 32),
            device_id TEXT NOT NULL,
            state     TEXT NOT NULL CHECK (state IN ('current', 'pending', 'retired', 'revoked')),
            made_ms   INTEGER NOT NULL,
            used_ms   INTEGER
        ) STRICT;
CREATE TABLE turn_rows (
            message_id INTEGER NOT NULL REFERENCES inbox ON DELETE CASCADE,
            position   INTEGER NOT NULL,
            body       TEXT NOT NULL,
            PRIMARY KEY (message_id, position)
        ) STRICT;
CREATE TABLE usage (
            day            TEXT NOT NULL,
            person         TEXT NOT NULL,
            channel        TEXT NOT NULL,
            chat_id        TEXT NOT NULL,
            model          TEXT NOT NULL,
            task           TEXT NOT NULL,
            requests       INTEGER NOT NULL,
            failed         INTEGER NOT NULL,
            estimated      INTEGER NOT NULL,
            unpriced       INTEGER NOT NULL,
            input_tokens   INTEGER NOT NULL,
            output_tokens  INTEGER NOT NULL,
            cached_tokens  INTEGER NOT NULL,
            cost_nano_usd  INTEGER NOT NULL,
            PRIMARY KEY (day, person, channel, chat_id, model, task)
        ) STRICT, WITHOUT ROWID;
CREATE TABLE xiaozhi_clients (
            device_id TEXT PRIMARY KEY,
            client BLOB NOT NULL,
            paired_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE xiaozhi_reports (
            device_id TEXT PRIMARY KEY,
            board TEXT NOT NULL,
            chip TEXT NOT NULL,
            version TEXT NOT NULL,
            slot_bytes INTEGER,
            at_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
CREATE TABLE xiaozhi_updates (
            device_id TEXT PRIMARY KEY,
            file TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            from_version TEXT NOT NULL,
            version TEXT NOT NULL,
            agreed_ms INTEGER NOT NULL,
            state TEXT NOT NULL,
            offers INTEGER NOT NULL,
            changed_ms INTEGER NOT NULL,
            reason TEXT NOT NULL
        ) WITHOUT ROWID;
CREATE INDEX changes_of_device ON changes (device_id, change_id);
CREATE INDEX changes_unsettled ON changes (state) WHERE state IN ('planned', 'unknown');
CREATE INDEX effects_unfinished ON effects (state) WHERE state IN ('planned', 'started');
CREATE INDEX certificates_of_device ON certificates (device_id);
CREATE INDEX tokens_of_device ON tokens (device_id, made_ms);
CREATE UNIQUE INDEX one_live_token ON tokens (device_id, state) WHERE state IN ('current', 'pending');
CREATE INDEX link_applied_order ON link_applied (device_id, number);
CREATE INDEX link_events_of_device ON link_events (device_id, number);
CREATE UNIQUE INDEX inbox_keys ON inbox (channel, key) WHERE key IS NOT NULL;
CREATE INDEX inbox_open ON inbox (message_id) WHERE state != 'kept';
CREATE INDEX inbox_joined ON inbox (joined) WHERE joined IS NOT NULL;
CREATE INDEX outbox_open ON outbox (channel, outbound_id) WHERE delivered_ms IS NULL;
CREATE INDEX notes_of_file ON notes (path);
CREATE INDEX schedule_runs_open ON schedule_runs (state) WHERE state IN ('claimed', 'started');
CREATE INDEX schedule_runs_woke ON schedule_runs (claimed_ms) WHERE woke = 1;
CREATE INDEX changes_of_turn ON changes (turn, change_id) WHERE turn IS NOT NULL;
CREATE INDEX deferred_open ON deferred_acts (device_id, name) WHERE state IN ('waiting', 'started');
CREATE INDEX deferred_of_change ON deferred_acts (change_id);
CREATE INDEX crashes_of_device ON crash_devices (device_id);
CREATE INDEX crash_reports_of ON crash_reports (crash_id, report_id);
CREATE INDEX crash_reports_of_device ON crash_reports (device_id);
CREATE INDEX firmware_offers_of_device ON firmware_offers (device_id, offer_id);
CREATE INDEX mqtt_buffer_of_kind ON mqtt_buffer (kind, number);
CREATE UNIQUE INDEX firmware_release_once
            ON firmware_releases (name, board, channel, device, version, allow_downgrade, revisions)
            WHERE withdrawn_ms IS NULL;
CREATE INDEX addresses_of_person ON person_addresses (person_id);
CREATE INDEX tokens_of_person ON person_tokens (person_id);
CREATE INDEX sign_ins_of_person ON sign_ins (person_id);
CREATE INDEX messages_of_session ON session_messages (name, at_s, adopted DESC, number);
CREATE INDEX numbers_of_session ON session_messages (name, number);
CREATE INDEX faces_of_device ON faces (device_id, position);
PRAGMA writable_schema=OFF;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',2);
INSERT INTO "sqlite_sequence" VALUES('inbox',1);
INSERT INTO "sqlite_sequence" VALUES('outbox',1);
INSERT INTO "sqlite_sequence" VALUES('schedules',1);
COMMIT;
PRAGMA application_id = 1835232375;
PRAGMA user_version = 39;
