-- What of each log is in the archive, verified; and the way in which events that are there leave the database. Of a row that was
-- pruned everything stays but its sealed events: leaf hashes, roots, edges of the tree, so that every proof is as before.

CREATE TABLE strongroom.archived (
    tenant_id   bytea,
    size        bigint,
    epoch       bigint NOT NULL,
    first_index bigint NOT NULL,
    first_seq   bigint NOT NULL,
    last_seq    bigint NOT NULL,
    time        bigint NOT NULL,
    bytes       bigint NOT NULL,
    digest      bytea NOT NULL CHECK (octet_length(digest) = 32),
    PRIMARY KEY (tenant_id, size)
);
ALTER TABLE strongroom.archived ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY archived_in_context ON strongroom.archived
    USING (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]))
    WITH CHECK (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]));
GRANT SELECT, INSERT ON strongroom.archived TO strongroom_runtime;

-- Takes the events out of rows from_seq to to_seq, all of which must be in the archive, older than `before`, and below the newest
-- checkpoint, whose last row the server verifies when it signs the next one. How many rows lost theirs.
CREATE FUNCTION strongroom.log_prune(pruned bytea, from_seq bigint, to_seq bigint, before bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    signed bigint;
    gone   bigint;
BEGIN
    SELECT max(size) INTO signed FROM strongroom.checkpoint WHERE tenant_id = pruned;
    IF NOT EXISTS (SELECT FROM strongroom.archived WHERE tenant_id = pruned AND last_seq >= to_seq) THEN
        RAISE EXCEPTION 'the rows are not in the archive' USING ERRCODE = 'SR003';
    ELSIF EXISTS (SELECT FROM strongroom.log WHERE tenant_id = pruned AND seq = to_seq
            AND (time >= before OR first_index + count >= coalesce(signed, 0))) THEN
        RAISE EXCEPTION 'the rows are to be kept' USING ERRCODE = 'SR003';
    END IF;
    UPDATE strongroom.log SET batch = ''::bytea
        WHERE tenant_id = pruned AND seq >= from_seq AND seq <= to_seq AND octet_length(batch) > 0;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;

-- Forgets what of an erasing tenant was in the archive, once it is deleted there.
CREATE FUNCTION strongroom.forget_archived(erased bytea) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM strongroom.tenant WHERE tenant_id = erased AND state = 2) THEN
        RAISE EXCEPTION 'the tenant is not erasing' USING ERRCODE = 'SR002';
    END IF;
    DELETE FROM strongroom.archived WHERE tenant_id = erased;
END
$$;

REVOKE ALL ON FUNCTION strongroom.log_prune(bytea, bigint, bigint, bigint), strongroom.forget_archived(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.log_prune(bytea, bigint, bigint, bigint), strongroom.forget_archived(bytea) TO strongroom_runtime;

-- As before, and a tenant with something in the archive stays until that is deleted.
CREATE OR REPLACE FUNCTION strongroom.erase_chunk(erased bytea, at_most bigint) RETURNS bigint
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
        DELETE FROM strongroom.checkpoint WHERE tenant_id = erased AND ctid = ANY (ARRAY(
            SELECT ctid FROM strongroom.checkpoint WHERE tenant_id = erased LIMIT at_most));
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    IF gone = 0 THEN
        DELETE FROM strongroom.log WHERE tenant_id = erased AND ctid = ANY (ARRAY(
            SELECT ctid FROM strongroom.log WHERE tenant_id = erased LIMIT at_most));
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    IF gone = 0 AND NOT EXISTS (SELECT FROM strongroom.archived WHERE tenant_id = erased) THEN
        DELETE FROM strongroom.head WHERE tenant_id = erased;
        DELETE FROM strongroom.tenant WHERE tenant_id = erased;
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    RETURN gone;
END
$$;
