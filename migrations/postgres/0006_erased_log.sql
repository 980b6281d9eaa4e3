-- What is left of the log of a tenant that was erased: the leaf hashes, which say nothing without the events and their nonces, and the
-- edge of the tree behind each run of them. With these and its checkpoints, receipts and checkpoints that somebody kept stay proofs.

CREATE TABLE strongroom.erased_log (
    tenant_id   bytea,
    first_index bigint,
    leaves      bytea NOT NULL,
    frontier    bytea NOT NULL,
    PRIMARY KEY (tenant_id, first_index)
);
ALTER TABLE strongroom.erased_log ALTER COLUMN leaves SET STORAGE EXTERNAL;
ALTER TABLE strongroom.erased_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY erased_log_in_context ON strongroom.erased_log
    USING (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]))
    WITH CHECK (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]));
-- Only erase_chunk writes here.
GRANT SELECT ON strongroom.erased_log TO strongroom_runtime;

-- As before, but leaf hashes and checkpoints stay. Rows of the log go in their order, so that what is kept is always the log's beginning.
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
        WITH taken AS (
            DELETE FROM strongroom.log WHERE tenant_id = erased AND seq = ANY (ARRAY(
                SELECT seq FROM strongroom.log WHERE tenant_id = erased ORDER BY seq LIMIT at_most))
            RETURNING first_index, leaves, frontier
        ), kept AS (
            -- Rows that somebody has edited must not keep a tenant from being erased.
            INSERT INTO strongroom.erased_log (tenant_id, first_index, leaves, frontier)
            SELECT erased, min(first_index), string_agg(leaves, ''::bytea ORDER BY first_index),
                (array_agg(frontier ORDER BY first_index DESC))[1]
            FROM taken HAVING count(*) > 0
            ON CONFLICT DO NOTHING
        )
        SELECT count(*) INTO gone FROM taken;
    END IF;
    IF gone = 0 AND NOT EXISTS (SELECT FROM strongroom.archived WHERE tenant_id = erased) THEN
        DELETE FROM strongroom.head WHERE tenant_id = erased;
        DELETE FROM strongroom.tenant WHERE tenant_id = erased;
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    RETURN gone;
END
$$;
