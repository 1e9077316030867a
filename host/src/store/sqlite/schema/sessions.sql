-- Sessions, messages, turns, events, calls, the ledger. Times are milliseconds since the Unix epoch.

-- Counters over all sessions, each with the number that is given next.
CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS sessions (
    -- Never given again: what is found under it is of this session.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    agent TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- How many rows `messages` has of it, and the bytes of their `blocks`.
    messages INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    -- How often some of them were removed: what was read before is not what there is.
    removals INTEGER NOT NULL DEFAULT 0,
    turns INTEGER NOT NULL DEFAULT 0,
    next_position INTEGER NOT NULL DEFAULT 0,
    -- The model sees nothing before this position.
    context_from INTEGER NOT NULL DEFAULT 0,
    -- Of who advanced it last.
    epoch INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Which sessions of an agent are too large, and which are empty and were not used for long.
CREATE INDEX IF NOT EXISTS sessions_size ON sessions (agent, size);
CREATE INDEX IF NOT EXISTS sessions_empty ON sessions (agent, updated_at) WHERE messages = 0;

CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    turn TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- `user` or `assistant`.
    role TEXT NOT NULL,
    -- JSON: a list of blocks.
    blocks TEXT NOT NULL,
    UNIQUE (session, position)
) STRICT;

CREATE INDEX IF NOT EXISTS messages_turn ON messages (turn);

-- The text blocks of a message, under its `id`. A message without any has no row. It keeps no copy of the texts:
-- what is removed has to be told word for word, so that no word of it stays behind (`secure-delete`).
CREATE VIRTUAL TABLE IF NOT EXISTS message_text USING fts5 (
    -- One word, the row of the session after an `s`: a search is held to one session by the index.
    session,
    text,
    content = '',
    tokenize = 'unicode61 remove_diacritics 2'
);

INSERT INTO message_text (message_text, rank) VALUES ('secure-delete', 1);

-- Both triggers make the text out of the blocks in the same way. Nothing changes a message.
CREATE TRIGGER IF NOT EXISTS messages_come AFTER INSERT ON messages BEGIN
    INSERT INTO message_text (rowid, session, text)
    SELECT new.id, 's' || new.session, text FROM (
        SELECT group_concat(value ->> '$.text', char(10) ORDER BY key) AS text
        FROM json_each(new.blocks) WHERE value ->> '$.type' = 'text'
    ) WHERE text IS NOT NULL;
END;

CREATE TRIGGER IF NOT EXISTS messages_go AFTER DELETE ON messages BEGIN
    INSERT INTO message_text (message_text, rowid, session, text)
    SELECT 'delete', old.id, 's' || old.session, text FROM (
        SELECT group_concat(value ->> '$.text', char(10) ORDER BY key) AS text
        FROM json_each(old.blocks) WHERE value ->> '$.type' = 'text'
    ) WHERE text IS NOT NULL;
END;

CREATE TABLE IF NOT EXISTS turns (
    -- In the order in which their messages were stored.
    id INTEGER PRIMARY KEY,
    turn TEXT NOT NULL UNIQUE,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- Its session's, for the index by age.
    agent TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    open INTEGER NOT NULL DEFAULT 1,
    -- How often it was taken up.
    resumes INTEGER NOT NULL DEFAULT 0,
    -- Its messages and events were removed, and only its key is left.
    emptied INTEGER NOT NULL DEFAULT 0,
    -- The idempotency key of its message, and the digest of what was sent; absent once it expired.
    key TEXT,
    digest BLOB
) STRICT;

CREATE UNIQUE INDEX IF NOT EXISTS turns_key ON turns (session, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS turns_session ON turns (session);
CREATE INDEX IF NOT EXISTS turns_open ON turns (id) WHERE open = 1;
CREATE INDEX IF NOT EXISTS turns_age ON turns (agent, accepted_at) WHERE open = 0 AND emptied = 0;
CREATE INDEX IF NOT EXISTS turns_key_age ON turns (accepted_at) WHERE key IS NOT NULL;

CREATE TABLE IF NOT EXISTS events (
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    -- JSON: what happened, without the members that the other columns tell.
    body TEXT NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS events_turn ON events (turn);

-- Calls of tools that were dispatched, and whose results are in no message yet.
CREATE TABLE IF NOT EXISTS calls (
    -- In the order in which they were dispatched.
    id INTEGER PRIMARY KEY,
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    call TEXT NOT NULL,
    -- JSON; absent while it may run.
    result TEXT,
    UNIQUE (turn, call)
) STRICT;

-- Refers to no session, since it outlives them.
CREATE TABLE IF NOT EXISTS ledger (
    turn TEXT NOT NULL,
    call INTEGER NOT NULL,
    session TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- What it is expected to consume.
    expected_input INTEGER NOT NULL,
    expected_output INTEGER NOT NULL,
    expected_cache_read INTEGER NOT NULL,
    expected_cache_write INTEGER NOT NULL,
    -- How it ended: `finished`, `cut`, `failed` or `lost`. Absent while it runs, as are all that follow.
    outcome TEXT,
    ended_at INTEGER,
    estimated INTEGER,
    input INTEGER,
    output INTEGER,
    cache_read INTEGER,
    cache_write INTEGER,
    PRIMARY KEY (turn, call)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS ledger_session ON ledger (session);
CREATE INDEX IF NOT EXISTS ledger_at ON ledger (at);
