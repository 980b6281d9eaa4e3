-- What an auditor needs beside the log: a sealed summary of a row's events, so that a search opens only rows that can
-- match; and what was signed of each tenant's tree.

ALTER TABLE strongroom.log ADD COLUMN summary bytea NOT NULL DEFAULT ''::bytea;
ALTER TABLE strongroom.log ALTER COLUMN summary SET STORAGE EXTERNAL;

CREATE TABLE strongroom.checkpoint (
    tenant_id bytea,
    size      bigint,
    root      bytea NOT NULL CHECK (octet_length(root) = 32),
    note      bytea NOT NULL,
    PRIMARY KEY (tenant_id, size)
);
ALTER TABLE strongroom.checkpoint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY checkpoint_in_context ON strongroom.checkpoint
    USING (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]))
    WITH CHECK (tenant_id = ANY ((SELECT strongroom_context.tenants())::bytea[]));
GRANT SELECT, INSERT ON strongroom.checkpoint TO strongroom_runtime;

-- As before, and checkpoints go with the log that they are of.
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
    IF gone = 0 THEN
        DELETE FROM strongroom.head WHERE tenant_id = erased;
        DELETE FROM strongroom.tenant WHERE tenant_id = erased;
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
    RETURN gone;
END
$$;
