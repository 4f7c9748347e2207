-- The two newest checkpoints stay. deflated: the content is (RFC 1950); the digest is of what it was.
ALTER TABLE checkpoints ADD COLUMN deflated INTEGER NOT NULL DEFAULT 0 CHECK (deflated IN (0, 1));

-- Serial numbers by a small key, which every reading carries.
CREATE TABLE meters (
    key INTEGER PRIMARY KEY,
    serial TEXT NOT NULL UNIQUE
) STRICT;

-- Readings for bills and load profiles, in the order in which they were written down; ordinals are
-- never used again, and thinned readings leave gaps. state: 0 UNKNOWN, 1 CONNECTED, 2 DISCONNECTED,
-- 3 READY_FOR_RECONNECTION. trusted: a time source answered for wall_ms.
CREATE TABLE readings (
    ordinal INTEGER PRIMARY KEY CHECK (ordinal > 0),
    meter INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    trusted INTEGER NOT NULL CHECK (trusted IN (0, 1)),
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    supply_mv INTEGER,
    load_mv INTEGER,
    current_ma INTEGER,
    power_w INTEGER,
    energy_wh INTEGER
) STRICT;

-- removed_through, removed_chain: number and chain hash of the last record that was removed.
-- taken_up_at: the number of the last record when taken_up was written.
-- hourly_through, daily_through: the ordinals up to which readings were thinned.
ALTER TABLE meta ADD COLUMN removed_through INTEGER NOT NULL DEFAULT 0
    CHECK (removed_through >= 0);
ALTER TABLE meta ADD COLUMN removed_chain BLOB NOT NULL
    DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000'
    CHECK (length(removed_chain) = 32);
ALTER TABLE meta ADD COLUMN taken_up_at INTEGER NOT NULL DEFAULT 0 CHECK (taken_up_at >= 0);
ALTER TABLE meta ADD COLUMN readings_acked_through INTEGER NOT NULL DEFAULT 0
    CHECK (readings_acked_through >= 0);
ALTER TABLE meta ADD COLUMN hourly_through INTEGER NOT NULL DEFAULT 0
    CHECK (hourly_through >= 0);
ALTER TABLE meta ADD COLUMN daily_through INTEGER NOT NULL DEFAULT 0 CHECK (daily_through >= 0);
