-- What of each log is in the archive, verified; and the way in which events that are there leave the database. Of a row that was
-- pruned everything stays but its sealed events: leaf hashes, roots, edges of the tree, so that every proof is as before.

CREATE TABLE archived (
    tenant_id   BLOB NOT NULL,
    size        INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    first_index INTEGER NOT NULL,
    first_seq   INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (tenant_id, size)
) STRICT;

CREATE TRIGGER archived_never_updated BEFORE UPDATE ON archived
BEGIN SELECT RAISE(ABORT, 'what is in the archive is never changed'); END;

CREATE TRIGGER archived_deleted_with_tenant BEFORE DELETE ON archived
WHEN (SELECT state FROM tenant WHERE tenant_id = OLD.tenant_id) IS NOT 2
BEGIN SELECT RAISE(ABORT, 'what is in the archive leaves only with its tenant'); END;

-- Rows of the log are never changed, but those that are in the archive and below the newest checkpoint lose their events.
DROP TRIGGER log_never_updated;

CREATE TRIGGER log_never_updated BEFORE UPDATE ON log
WHEN NEW.batch <> x''
    OR (NEW.tenant_id, NEW.seq, NEW.first_index, NEW.count, NEW.time, NEW.prev_root, NEW.root, NEW.group_id, NEW.mac, NEW.frontier,
        NEW.changed, NEW.leaves, NEW.summary)
    IS NOT (OLD.tenant_id, OLD.seq, OLD.first_index, OLD.count, OLD.time, OLD.prev_root, OLD.root, OLD.group_id, OLD.mac, OLD.frontier,
        OLD.changed, OLD.leaves, OLD.summary)
    OR NOT EXISTS (SELECT 1 FROM archived WHERE tenant_id = OLD.tenant_id AND last_seq >= OLD.seq)
    OR OLD.first_index + OLD.count >= coalesce((SELECT max(size) FROM checkpoint WHERE tenant_id = OLD.tenant_id), 0)
BEGIN SELECT RAISE(ABORT, 'log rows are never changed, but lose their events when these are in the archive'); END;
