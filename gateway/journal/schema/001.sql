-- Records in their order, without gaps; chain = SHA-256(chain of the one before, content).
CREATE TABLE records (
    number INTEGER PRIMARY KEY CHECK (number > 0),
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    content BLOB NOT NULL
) STRICT;

-- The kept part of the image after the record of that number; only the newest stays.
-- digest = SHA-256(chain of that record, content).
CREATE TABLE checkpoints (
    number INTEGER PRIMARY KEY CHECK (number >= 0),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    content BLOB NOT NULL
) STRICT;

-- One row: how far the head end holds the records; whether this is a new gateway's first journal
-- (NULL: nobody has said yet); why the journal before this one was set aside; up to which ordinal
-- the documents of the archive are taken up in the records.
CREATE TABLE meta (
    row INTEGER PRIMARY KEY CHECK (row = 1),
    acked_through INTEGER NOT NULL CHECK (acked_through >= 0),
    new INTEGER CHECK (new IN (0, 1)),
    lost TEXT NOT NULL,
    taken_up INTEGER NOT NULL CHECK (taken_up >= 0)
) STRICT;

INSERT INTO meta (row, acked_through, new, lost, taken_up) VALUES (1, 0, NULL, '', 0);
