-- Plugins' data, files, channels, the outbox, facts. What belongs to a session refers to its row and goes with it.
-- Times are milliseconds since the Unix epoch.

-- What plugins keep.
CREATE TABLE IF NOT EXISTS kv (
    id INTEGER PRIMARY KEY,
    plugin TEXT NOT NULL,
    -- Empty for the plugin's own, `agent:` and the agent's name, `session:` and the row of the session. Of the last
    -- two, one column below says the same.
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    agent TEXT,
    session INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    -- What it counts against the quota of its plugin.
    cost INTEGER NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (plugin, scope, key)
) STRICT;

CREATE INDEX IF NOT EXISTS kv_session ON kv (session) WHERE session IS NOT NULL;

-- What all entries of a plugin count together. Kept by the triggers below, so that it is right however an entry goes.
CREATE TABLE IF NOT EXISTS kv_use (
    plugin TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS kv_added AFTER INSERT ON kv BEGIN
    INSERT INTO kv_use (plugin, bytes) SELECT new.plugin, 0
        WHERE NOT EXISTS (SELECT 1 FROM kv_use WHERE plugin = new.plugin);
    UPDATE kv_use SET bytes = bytes + new.cost WHERE plugin = new.plugin;
END;

CREATE TRIGGER IF NOT EXISTS kv_changed AFTER UPDATE OF cost ON kv BEGIN
    UPDATE kv_use SET bytes = bytes - old.cost + new.cost WHERE plugin = new.plugin;
END;

CREATE TRIGGER IF NOT EXISTS kv_gone AFTER DELETE ON kv BEGIN
    UPDATE kv_use SET bytes = bytes - old.cost WHERE plugin = old.plugin;
END;

-- Files of sessions. Their content is in pieces.
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    file TEXT NOT NULL,
    name TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    plugin TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    -- What it counts against the limits on files.
    cost INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (session, file)
) STRICT;

-- Bytes of a file from `start` on. A file's pieces leave no gap, and do not overlap.
CREATE TABLE IF NOT EXISTS file_pieces (
    id INTEGER PRIMARY KEY,
    file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (file, start)
) STRICT;

-- What the files of a session count together, and, in the row 0, those of all. Kept by the triggers below.
CREATE TABLE IF NOT EXISTS file_use (
    session INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT;

CREATE TRIGGER IF NOT EXISTS files_added AFTER INSERT ON files BEGIN
    INSERT INTO file_use (session, bytes)
        SELECT owner.session, 0 FROM (SELECT 0 AS session UNION ALL SELECT new.session) AS owner
        WHERE NOT EXISTS (SELECT 1 FROM file_use WHERE file_use.session = owner.session);
    UPDATE file_use SET bytes = bytes + new.cost WHERE session IN (0, new.session);
END;

CREATE TRIGGER IF NOT EXISTS files_changed AFTER UPDATE OF cost ON files BEGIN
    UPDATE file_use SET bytes = bytes - old.cost + new.cost WHERE session IN (0, new.session);
END;

CREATE TRIGGER IF NOT EXISTS files_gone AFTER DELETE ON files BEGIN
    UPDATE file_use SET bytes = bytes - old.cost WHERE session IN (0, old.session);
    DELETE FROM file_use WHERE session = old.session AND bytes = 0;
END;

-- Channels, by their names in the config.
CREATE TABLE IF NOT EXISTS channels (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Of who advanced it last.
    epoch INTEGER NOT NULL DEFAULT 0,
    state BLOB
) STRICT;

-- Events of platforms that were seen.
CREATE TABLE IF NOT EXISTS seen (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    event TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (channel, account, event)
) STRICT;

CREATE INDEX IF NOT EXISTS seen_at ON seen (at);

-- Events that a channel could not get past.
CREATE TABLE IF NOT EXISTS set_aside (
    -- Never given again.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    event BLOB NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS set_aside_channel ON set_aside (channel, id);

-- What is to be sent.
CREATE TABLE IF NOT EXISTS deliveries (
    -- In the order in which they were opened.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery TEXT NOT NULL UNIQUE,
    session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- Its session's, for the index by age.
    agent TEXT NOT NULL,
    channel TEXT NOT NULL,
    conversation TEXT NOT NULL,
    -- 1 while the content may still grow.
    draft INTEGER NOT NULL,
    -- `pending`, `sending`, `unknown`, `sent` or `dead`.
    state TEXT NOT NULL DEFAULT 'pending',
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

CREATE INDEX IF NOT EXISTS deliveries_session ON deliveries (session);
CREATE INDEX IF NOT EXISTS deliveries_channel ON deliveries (channel, delivery);
CREATE INDEX IF NOT EXISTS deliveries_open ON deliveries (channel, conversation, id) WHERE open = 1;
CREATE INDEX IF NOT EXISTS deliveries_age ON deliveries (agent, created_at) WHERE open = 0;

-- What is remembered.
CREATE TABLE IF NOT EXISTS facts (
    -- Never given again.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    text TEXT NOT NULL,
    -- Where it was learnt.
    session INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    turn TEXT,
    created_at INTEGER NOT NULL,
    -- The owner as one word of letters and digits, whatever is in it: a search is held to one owner by the index.
    whose TEXT NOT NULL AS ('o' || lower(hex(owner))) VIRTUAL
) STRICT;

CREATE INDEX IF NOT EXISTS facts_owner ON facts (owner, id);
CREATE INDEX IF NOT EXISTS facts_session ON facts (session) WHERE session IS NOT NULL;

-- The words of facts. It keeps no copy of them, and overwrites the words of a fact that is forgotten.
CREATE VIRTUAL TABLE IF NOT EXISTS fact_text USING fts5 (
    whose,
    text,
    content = 'facts',
    content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2'
);

INSERT INTO fact_text (fact_text, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER IF NOT EXISTS facts_added AFTER INSERT ON facts BEGIN
    INSERT INTO fact_text (rowid, whose, text) VALUES (new.id, new.whose, new.text);
END;

CREATE TRIGGER IF NOT EXISTS facts_gone AFTER DELETE ON facts BEGIN
    INSERT INTO fact_text (fact_text, rowid, whose, text) VALUES ('delete', old.id, old.whose, old.text);
END;
