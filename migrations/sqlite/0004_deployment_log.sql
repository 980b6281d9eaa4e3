-- The deployment's own log: its leaves are heads of tenants' logs as they were signed, in the order in which they came. It belongs
-- to the root tenant. Each of its signed trees stands beside the edge that the next one grows from, and what witnesses cosigned.

CREATE TABLE tenant_head (
    tenant_id BLOB NOT NULL,
    place     INTEGER NOT NULL,
    head_of   BLOB NOT NULL CHECK (length(head_of) = 16),
    epoch     INTEGER NOT NULL,
    size      INTEGER NOT NULL,
    root      BLOB NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (tenant_id, place)
) STRICT;

CREATE INDEX tenant_head_of ON tenant_head (tenant_id, head_of, place);

CREATE TABLE deployment_tree (
    tenant_id BLOB NOT NULL,
    size      INTEGER NOT NULL,
    frontier  BLOB NOT NULL,
    note      BLOB NOT NULL,
    PRIMARY KEY (tenant_id, size)
) STRICT;

CREATE TABLE cosignature (
    tenant_id BLOB NOT NULL,
    size      INTEGER NOT NULL,
    witness   TEXT NOT NULL,
    line      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, size, witness)
) STRICT;

-- Nothing of it is ever changed or removed.
CREATE TRIGGER tenant_head_never_updated BEFORE UPDATE ON tenant_head
BEGIN SELECT RAISE(ABORT, 'the log of the deployment is never changed'); END;
CREATE TRIGGER tenant_head_never_deleted BEFORE DELETE ON tenant_head
BEGIN SELECT RAISE(ABORT, 'the log of the deployment is never changed'); END;
CREATE TRIGGER deployment_tree_never_updated BEFORE UPDATE ON deployment_tree
BEGIN SELECT RAISE(ABORT, 'the log of the deployment is never changed'); END;
CREATE TRIGGER deployment_tree_never_deleted BEFORE DELETE ON deployment_tree
BEGIN SELECT RAISE(ABORT, 'the log of the deployment is never changed'); END;
