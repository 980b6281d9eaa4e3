-- Run by `strongroom migrate` as strongroom_owner, in one transaction.
--
-- Three walls stand between tenants: every statement names its tenant; every policy compares with the signed tenant
-- context; every envelope is sealed under the tenant's keys. Every key begins with tenant_id, so that no error tells
-- one tenant what another has. There are no foreign keys: their checks would run as the owner, outside of a context.

CREATE SCHEMA strongroom;
CREATE SCHEMA strongroom_context AUTHORIZATION strongroom_context;

-- The signed tenant context ---------------------------------------------------------------------------------------------

SET LOCAL ROLE strongroom_context;

-- The key of an HMAC-SHA-256 (RFC 2104), xored into its two blocks already. Only the role that owns it reads it.
CREATE TABLE strongroom_context.key (
    only_row    boolean PRIMARY KEY CHECK (only_row),
    inner_block bytea NOT NULL CHECK (octet_length(inner_block) = 64),
    outer_block bytea NOT NULL CHECK (octet_length(outer_block) = 64)
);
ALTER TABLE strongroom_context.key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY key_owner ON strongroom_context.key TO strongroom_context USING (true) WITH CHECK (true);

-- The tenants that this transaction may see; NULL, and so none, when no context is set or its MAC is wrong.
-- The setting is 64 hexadecimal digits of MAC, then 32 per tenant. The MAC covers the tenants, this backend, this run of
-- the server and this transaction's start in microseconds: a context cannot be widened, nor used again by a later transaction.
CREATE FUNCTION strongroom_context.tenants() RETURNS bytea[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    context text := current_setting('strongroom.context', true);
    ids     text := substr(context, 65);
    message bytea;
    valid   boolean;
BEGIN
    IF context IS NULL OR context = '' OR length(ids) = 0 OR length(ids) % 32 <> 0 OR context ~ '[^0-9a-f]' THEN
        RETURN NULL;
    END IF;
    message := '\x7374726f6e67726f6f6d2d636f6e746578742d31'::bytea
        || int8send(pg_backend_pid()::int8)
        || int8send((extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8)
        || int8send((extract(epoch FROM transaction_timestamp()) * 1000000)::int8)
        || decode(ids, 'hex');
    -- Hashes of both are compared, so that the time it takes says nothing of how far a guess is right.
    SELECT sha256(sha256(k.outer_block || sha256(k.inner_block || message))) = sha256(decode(left(context, 64), 'hex'))
        INTO valid FROM strongroom_context.key k;
    IF valid IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    IF length(ids) = 32 THEN
        RETURN ARRAY[decode(ids, 'hex')];
    END IF;
    RETURN (SELECT array_agg(decode(substr(ids, i, 32), 'hex')) FROM generate_series(1, length(ids), 32) AS i);
END
$$;

REVOKE ALL ON FUNCTION strongroom_context.tenants() FROM PUBLIC;
GRANT USAGE ON SCHEMA strongroom_context TO strongroom_runtime;
GRANT EXECUTE ON FUNCTION strongroom_context.tenants() TO strongroom_runtime, strongroom_owner;

RESET ROLE;

-- Tables ----------------------------------------------------------------------------------------------------------------

CREATE TABLE strongroom.schema_version (
    version    bigint PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE strongroom.deployment (
    only_row boolean PRIMARY KEY CHECK (only_row),
    id       bytea NOT NULL CHECK (octet_length(id) = 16),
    root     bytea NOT NULL CHECK (octet_length(root) = 16),
    edge     bytea NOT NULL CHECK (octet_length(edge) = 16),
    dev      bigint NOT NULL CHECK (dev IN (0, 1)),
    seal     bytea NOT NULL,
    format   bigint NOT NULL
);

CREATE TABLE strongroom.tenant (
    tenant_id  bytea PRIMARY KEY CHECK (octet_length(tenant_id) = 16),
    parent     bytea CHECK (octet_length(parent) = 16),
    state      bigint NOT NULL CHECK (state IN (0, 1, 2)),
    generation bigint NOT NULL
);

-- Keys are apart, so that a change of state copies no wrap.
CREATE TABLE strongroom.tenant_keyring (
    tenant_id bytea PRIMARY KEY,
    keyring   bytea NOT NULL
);

CREATE TABLE strongroom.tenant_key (
    tenant_id bytea,
    seal      text,
    wrap      bytea NOT NULL,
    PRIMARY KEY (tenant_id, seal)
);

-- Locked to make a tenant's history serial, never updated: a lock leaves no dead row behind.
CREATE TABLE strongroom.head (
    tenant_id bytea PRIMARY KEY
);

CREATE TABLE strongroom.record (
    tenant_id  bytea,
    key        bytea CHECK (octet_length(key) = 32),
    dir        bytea NOT NULL CHECK (octet_length(dir) = 32),
    seq        bigint NOT NULL,
    expires_at bigint,
    name       bytea NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (tenant_id, key)
) WITH (fillfactor = 85);

CREATE INDEX record_directory ON strongroom.record (tenant_id, dir, key)
    WHERE dir <> '\x0000000000000000000000000000000000000000000000000000000000000000';
CREATE INDEX record_expiry ON strongroom.record (tenant_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE strongroom.log (
    tenant_id   bytea,
    seq         bigint,
    first_index bigint NOT NULL,
    count       bigint NOT NULL,
    time        bigint NOT NULL,
    prev_root   bytea NOT NULL,
    root        bytea NOT NULL,
    group_id    bytea NOT NULL,
    mac         bytea NOT NULL,
    frontier    bytea NOT NULL,
    changed     bytea NOT NULL,
    batch       bytea NOT NULL,
    leaves      bytea NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

-- Sealed bytes do not compress.
ALTER TABLE strongroom.record ALTER COLUMN sealed SET STORAGE EXTERNAL, ALTER COLUMN name SET STORAGE EXTERNAL;
ALTER TABLE strongroom.log ALTER COLUMN batch SET STORAGE EXTERNAL, ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- Policies --------------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    tabled text;
BEGIN
    FOREACH tabled IN ARRAY ARRAY['tenant', 'tenant_keyring', 'tenant_key', 'head', 'record', 'log'] LOOP
        EXECUTE format('ALTER TABLE strongroom.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', tabled);
        -- A subquery, so that the context is checked once per statement and not once per row.
        EXECUTE format('CREATE POLICY %I ON strongroom.%I '
            'USING (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[])) '
            'WITH CHECK (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]))', tabled || '_in_context', tabled);
    END LOOP;
END
$$;

-- Two tables belong to no tenant and hold nothing of one.
ALTER TABLE strongroom.deployment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY deployment_for_all ON strongroom.deployment USING (true) WITH CHECK (true);
ALTER TABLE strongroom.schema_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY schema_version_read ON strongroom.schema_version FOR SELECT USING (true);
CREATE POLICY schema_version_owned ON strongroom.schema_version TO strongroom_owner USING (true) WITH CHECK (true);

-- Jobs look for tenants that are not in ordinary use; see tenants_in.
CREATE POLICY tenant_jobs ON strongroom.tenant FOR SELECT TO strongroom_owner USING (state <> 0);

-- Functions -------------------------------------------------------------------------------------------------------------

-- Sets the context for this transaction, refuses when it is not valid (else rows would only seem to be absent), and
-- locks the heads of its tenants, in order. Runs with the caller's rights.
CREATE FUNCTION strongroom.enter(context text, locking boolean) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    tenants bytea[];
BEGIN
    PERFORM pg_catalog.set_config('strongroom.context', context, true);
    tenants := strongroom_context.tenants();
    IF tenants IS NULL THEN
        RAISE EXCEPTION 'the tenant context is not valid' USING ERRCODE = 'SR001';
    END IF;
    IF locking THEN
        PERFORM 1 FROM strongroom.head h WHERE h.tenant_id = ANY (tenants) ORDER BY h.tenant_id FOR NO KEY UPDATE;
    END IF;
END
$$;

-- Identifiers of tenants that are sealed or erasing, for jobs: nothing else of them.
CREATE FUNCTION strongroom.tenants_in(wanted bigint, at_most bigint) RETURNS SETOF bytea
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tenant_id FROM strongroom.tenant WHERE state = wanted AND state <> 0 ORDER BY tenant_id LIMIT at_most
$$;

-- Deletes rows of the context's tenant when it is erasing: the only way that log rows leave. How many were deleted.
CREATE FUNCTION strongroom.erase_chunk(erased bytea, at_most bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    current bigint;
    gone    bigint;
BEGIN
    SELECT state INTO current FROM strongroom.tenant WHERE tenant_id = erased;
    IF NOT FOUND THEN
        RETURN 0;
    ELSIF current <> 2 THEN
        RAISE EXCEPTION 'the tenant is not erasing' USING ERRCODE = 'SR002';
    END IF;
    DELETE FROM strongroom.record WHERE tenant_id = erased AND ctid = ANY (ARRAY(
        SELECT ctid FROM strongroom.record WHERE tenant_id = erased LIMIT at_most));
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone = 0 THEN
        DELETE FROM strongroom.log WHERE tenant_id = erased AND ctid = ANY (ARRAY(
            SELECT ctid FROM strongroom.log WHERE tenant_id = erased LIMIT at_most));
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    IF gone = 0 THEN
        DELETE FROM strongroom.head WHERE tenant_id = erased;
        DELETE FROM strongroom.tenant WHERE tenant_id = erased;
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    RETURN gone;
END
$$;

-- Rights of the server --------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA strongroom FROM PUBLIC;
GRANT USAGE ON SCHEMA strongroom TO strongroom_runtime;
GRANT EXECUTE ON FUNCTION strongroom.enter(text, boolean), strongroom.tenants_in(bigint, bigint), strongroom.erase_chunk(bytea, bigint)
    TO strongroom_runtime;
GRANT SELECT ON strongroom.schema_version TO strongroom_runtime;
GRANT SELECT, INSERT, UPDATE ON strongroom.deployment, strongroom.tenant, strongroom.head TO strongroom_runtime;
GRANT SELECT, INSERT, DELETE ON strongroom.tenant_keyring, strongroom.tenant_key TO strongroom_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON strongroom.record TO strongroom_runtime;
GRANT SELECT, INSERT ON strongroom.log TO strongroom_runtime;
