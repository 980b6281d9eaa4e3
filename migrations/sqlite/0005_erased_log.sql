-- What is left of the log of a tenant that was erased: the leaf hashes, which say nothing without the events and their nonces, and the
-- edge of the tree behind each run of them. With these and its checkpoints, receipts and checkpoints that somebody kept stay proofs.

CREATE TABLE erased_log (
    tenant_id   BLOB NOT NULL,
    first_index INTEGER NOT NULL,
    leaves      BLOB NOT NULL,
    frontier    BLOB NOT NULL,
    PRIMARY KEY (tenant_id, first_index)
) STRICT;

CREATE TRIGGER erased_log_never_updated BEFORE UPDATE ON erased_log
BEGIN SELECT RAISE(ABORT, 'leaf hashes are never changed'); END;

CREATE TRIGGER erased_log_never_deleted BEFORE DELETE ON erased_log
BEGIN SELECT RAISE(ABORT, 'leaf hashes stay'); END;

DROP TRIGGER checkpoint_deleted_with_tenant;

CREATE TRIGGER checkpoint_never_deleted BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoints stay'); END;
