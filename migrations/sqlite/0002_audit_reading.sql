-- What an auditor needs beside the log: a sealed summary of a row's events, so that a search opens only rows that can
-- match; and what was signed of each tenant's tree.

ALTER TABLE log ADD COLUMN summary BLOB NOT NULL DEFAULT x'';

CREATE TABLE checkpoint (
    tenant_id BLOB NOT NULL,
    size      INTEGER NOT NULL,
    root      BLOB NOT NULL CHECK (length(root) = 32),
    note      BLOB NOT NULL,
    PRIMARY KEY (tenant_id, size)
) STRICT;

CREATE TRIGGER checkpoint_never_updated BEFORE UPDATE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoints are never changed'); END;

CREATE TRIGGER checkpoint_deleted_with_tenant BEFORE DELETE ON checkpoint
WHEN (SELECT state FROM tenant WHERE tenant_id = OLD.tenant_id) IS NOT 2
BEGIN SELECT RAISE(ABORT, 'checkpoints leave only with their tenant'); END;
