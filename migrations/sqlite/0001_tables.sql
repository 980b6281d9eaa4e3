-- One server, one writer: the tenant predicate of every statement and the sealed envelopes are the walls here.

CREATE TABLE deployment (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    id        BLOB NOT NULL CHECK (length(id) = 16),
    root      BLOB NOT NULL CHECK (length(root) = 16),
    edge      BLOB NOT NULL CHECK (length(edge) = 16),
    dev       INTEGER NOT NULL CHECK (dev IN (0, 1)),
    seal      BLOB NOT NULL,
    format    INTEGER NOT NULL
) STRICT;

CREATE TABLE tenant (
    tenant_id  BLOB NOT NULL PRIMARY KEY CHECK (length(tenant_id) = 16),
    parent     BLOB CHECK (length(parent) = 16),
    state      INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys are apart, so that a change of state copies no wrap.
CREATE TABLE tenant_keyring (
    tenant_id BLOB NOT NULL PRIMARY KEY,
    keyring   BLOB NOT NULL
) STRICT;

CREATE TABLE tenant_key (
    tenant_id BLOB NOT NULL,
    seal      TEXT NOT NULL,
    wrap      BLOB NOT NULL,
    PRIMARY KEY (tenant_id, seal)
) STRICT;

CREATE TABLE record (
    tenant_id  BLOB NOT NULL,
    key        BLOB NOT NULL CHECK (length(key) = 32),
    dir        BLOB NOT NULL CHECK (length(dir) = 32),
    seq        INTEGER NOT NULL,
    expires_at INTEGER,
    name       BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT;

CREATE INDEX record_directory ON record (tenant_id, dir, key)
    WHERE dir <> x'0000000000000000000000000000000000000000000000000000000000000000';
CREATE INDEX record_expiry ON record (tenant_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE log (
    tenant_id   BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    first_index INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    prev_root   BLOB NOT NULL,
    root        BLOB NOT NULL,
    group_id    BLOB NOT NULL,
    mac         BLOB NOT NULL,
    frontier    BLOB NOT NULL,
    changed     BLOB NOT NULL,
    batch       BLOB NOT NULL,
    leaves      BLOB NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT;

-- The log is append-only; its rows leave only with their tenant.
CREATE TRIGGER log_never_updated BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'log rows are never changed'); END;

CREATE TRIGGER log_deleted_with_tenant BEFORE DELETE ON log
WHEN (SELECT state FROM tenant WHERE tenant_id = OLD.tenant_id) IS NOT 2
BEGIN SELECT RAISE(ABORT, 'log rows leave only with their tenant'); END;
