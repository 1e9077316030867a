-- What metering needs beside the second version. Money is in nano-dollars, times in milliseconds since the Unix epoch.

-- `message`, or `plugin:` and a plugin's name.
ALTER TABLE ledger ADD COLUMN cause TEXT NOT NULL DEFAULT 'message';
ALTER TABLE ledger ADD COLUMN expected_cache_write_1h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN expected_reasoning INTEGER NOT NULL DEFAULT 0;
-- What the call was expected to cost at most; absent where nobody knew.
ALTER TABLE ledger ADD COLUMN reserved_cost INTEGER;
-- Of `cache_write` and of `output`; nothing while the call runs.
ALTER TABLE ledger ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN reasoning INTEGER NOT NULL DEFAULT 0;
-- Absent while the call runs, and where its price is unknown.
ALTER TABLE ledger ADD COLUMN cost INTEGER;
-- The version of the table of prices.
ALTER TABLE ledger ADD COLUMN price TEXT;
-- How much less it cost for the provider's cache; may be negative.
ALTER TABLE ledger ADD COLUMN cache_saving INTEGER;

-- Counts that no call can have were a provider's mistake. They are kept as the most that is kept of one, so that sums
-- fit.
UPDATE ledger SET input = min(input, 1099511627776), output = min(output, 1099511627776),
        cache_read = min(cache_read, 1099511627776), cache_write = min(cache_write, 1099511627776)
    WHERE max(input, output, cache_read, cache_write) > 1099511627776;

CREATE INDEX ledger_unsettled ON ledger (turn, call) WHERE outcome IS NULL;

-- The sessions of calls that ended. They refer to no session, since what was spent outlives them. What stands in the
-- key is here decoded.
CREATE TABLE usage_sessions (
    id INTEGER PRIMARY KEY,
    session TEXT NOT NULL UNIQUE,
    agent TEXT NOT NULL,
    channel TEXT NOT NULL,
    account TEXT NOT NULL,
    peer TEXT NOT NULL
) STRICT;

CREATE INDEX usage_sessions_peer ON usage_sessions (channel, account, peer);

-- By what calls are told apart beside their sessions. There are few.
CREATE TABLE usage_scopes (
    id INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    channel TEXT NOT NULL,
    cause TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    UNIQUE (agent, channel, cause, provider, model)
) STRICT;

-- Sums over calls that ended, by the quarter of an hour in which they began.
CREATE TABLE usage_quarters (
    scope INTEGER NOT NULL REFERENCES usage_scopes (id),
    -- The quarter's beginning.
    at INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    cut INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    -- Calls that consumed something at an unknown price.
    unpriced INTEGER NOT NULL,
    cache_saving INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    PRIMARY KEY (scope, at)
) STRICT, WITHOUT ROWID;

-- The same by the day, as UTC has it.
CREATE TABLE usage_days (
    scope INTEGER NOT NULL REFERENCES usage_scopes (id),
    -- The day's beginning.
    at INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    cut INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    cache_saving INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    PRIMARY KEY (scope, at)
) STRICT, WITHOUT ROWID;

-- The same by session and hour.
CREATE TABLE usage_hours (
    session INTEGER NOT NULL REFERENCES usage_sessions (id),
    -- The hour's beginning.
    at INTEGER NOT NULL,
    scope INTEGER NOT NULL REFERENCES usage_scopes (id),
    calls INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    cut INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    cache_saving INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    PRIMARY KEY (session, at, scope)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_hours_at ON usage_hours (at);

-- How models count tokens, against how they are counted here.
CREATE TABLE token_factors (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    base INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    UNIQUE (provider, model)
) STRICT;
