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
