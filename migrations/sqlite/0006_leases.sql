-- What only one server does at a time. There is one server only: whoever opens the database has all leases, each time under a new epoch.

CREATE TABLE lease (
    name   TEXT NOT NULL PRIMARY KEY,
    holder BLOB CHECK (length(holder) = 16),
    epoch  INTEGER NOT NULL
) STRICT;

INSERT INTO lease (name, epoch) VALUES ('upkeep', 0), ('checkpoint', 0), ('archive', 0), ('backup', 0);
