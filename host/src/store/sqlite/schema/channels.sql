-- What channels need beside the first version: where the answer of a turn goes, deliveries of no session, what is
-- shown of them, receipts, and who was let in. Times are milliseconds since the Unix epoch.

-- Where the answer of an open turn goes. It is removed when its turn ends.
CREATE TABLE destinations (
    turn INTEGER PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    conversation TEXT NOT NULL,
    address BLOB NOT NULL
) STRICT;

-- `deliveries` is rebuilt: a session is not needed any more, and there are receipts.
CREATE TABLE deliveries_2 (
    -- In the order in which they were opened.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery TEXT NOT NULL UNIQUE,
    -- Absent where it answers in none.
    session INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    -- Its session's, for the index by age; absent with it.
    agent TEXT CHECK ((agent IS NULL) = (session IS NULL)),
    channel TEXT NOT NULL,
    conversation TEXT NOT NULL,
    -- 1 while the content may still grow.
    draft INTEGER NOT NULL,
    -- `pending`, `sending`, `unknown`, `sent` or `dead`.
    state TEXT NOT NULL DEFAULT 'pending',
    -- `delivered`, `read` or `failed`; absent before the platform said something.
    receipt TEXT,
    -- Of who advanced it last.
    epoch INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL,
    reason TEXT,
    created_at INTEGER NOT NULL,
    content BLOB NOT NULL,
    progress BLOB,
    -- 1 while something is left to be done; what is a draft is not settled. A column of its own, and not a generated
    -- one: of these SQLite reads the whole row, also where an index has them.
    open INTEGER NOT NULL DEFAULT 1 CHECK (open = (draft = 1 OR state IN ('pending', 'sending')))
) STRICT;

INSERT INTO deliveries_2
    (id, delivery, session, agent, channel, conversation, draft, state, epoch, attempts, due, reason, created_at,
     content, progress, open)
SELECT
    id, delivery, session, agent, channel, conversation, draft, state, epoch, attempts, due, reason, created_at,
    content, progress, open
FROM deliveries ORDER BY id;

DROP TABLE deliveries;
ALTER TABLE deliveries_2 RENAME TO deliveries;

CREATE INDEX deliveries_session ON deliveries (session) WHERE session IS NOT NULL;
CREATE INDEX deliveries_channel ON deliveries (channel, delivery);
CREATE INDEX deliveries_open ON deliveries (channel, conversation, id) WHERE open = 1;
CREATE INDEX deliveries_age ON deliveries (agent, created_at) WHERE open = 0;

-- The platform's ids of what is shown of a delivery, in order.
CREATE TABLE shown (
    delivery INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    -- Its delivery's, for the index by which a receipt finds it.
    channel TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (delivery, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX shown_message ON shown (channel, message, delivery);

-- Writers who asked to be let in, and those who were.
CREATE TABLE pairings (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    -- `direct` or `group`, which sort as they should.
    kind TEXT NOT NULL,
    writer TEXT NOT NULL,
    name TEXT,
    -- Of one who waits: by which the owner approves, and until when. Both are absent once that happened.
    code TEXT,
    until INTEGER CHECK ((until IS NULL) = (code IS NULL)),
    -- When that happened.
    approved_at INTEGER CHECK ((approved_at IS NULL) = (code IS NOT NULL)),
    UNIQUE (channel, account, kind, writer)
) STRICT;

CREATE UNIQUE INDEX pairings_code ON pairings (code) WHERE code IS NOT NULL;
CREATE INDEX pairings_until ON pairings (until) WHERE until IS NOT NULL;
CREATE INDEX pairings_waiting ON pairings (channel, until) WHERE until IS NOT NULL;
