-- Records in their order, without gaps; chain = SHA-256(chain of the one before, content).
CREATE TABLE records (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    content BLOB NOT NULL
) STRICT;

-- The signed documents as they arrived: the proof of what the records installed.
CREATE TABLE documents (
    digest TEXT PRIMARY KEY CHECK (length(digest) = 64),
    type TEXT NOT NULL,
    raw BLOB NOT NULL
) STRICT;

-- The kept part of the image after the record of that number; only the newest stays.
CREATE TABLE checkpoints (
    number INTEGER PRIMARY KEY CHECK (number >= 0),
    content BLOB NOT NULL
) STRICT;

-- One row: how far the head end holds the records.
CREATE TABLE meta (
    row INTEGER PRIMARY KEY CHECK (row = 1),
    acked_through INTEGER NOT NULL CHECK (acked_through >= 0)
) STRICT;

INSERT INTO meta (row, acked_through) VALUES (1, 0);
