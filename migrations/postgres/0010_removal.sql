-- Rows go by their keys: whatever is known of the tables when that is planned, no others are read. This step only adds: servers that know
-- version 8 go on with it.

-- Removes the records at these places, `keys[n]` of `tenants[n]`.
CREATE FUNCTION strongroom.remove(tenants bytea[], keys bytea[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
BEGIN
    FOR n IN 1 .. coalesce(pg_catalog.array_length(keys, 1), 0) LOOP
        DELETE FROM strongroom.record r WHERE r.tenant_id = tenants[n] AND r.key = keys[n];
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strongroom.remove(bytea[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.remove(bytea[], bytea[]) TO strongroom_runtime;

-- As `erase_chunk` of before, which stays for servers of before; and a chunk is a range: records behind `last_key`, then log rows behind
-- `last_seq`, from which the next one goes on. What lies before is gone, and would be read past until the tables are cleaned up, which
-- nobody can do as long as any transaction is older. The tenant itself goes when nothing is found behind the very beginning.
CREATE FUNCTION strongroom.erase_next(erased bytea, at_most bigint, INOUT last_key bytea, INOUT last_seq bigint, OUT gone bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    current   bigint;
    after_key bytea := last_key;
    after_seq bigint := last_seq;
BEGIN
    gone := 0;
    SELECT state INTO current FROM strongroom.tenant WHERE tenant_id = erased;
    IF NOT FOUND THEN
        RETURN;
    ELSIF current <> 2 THEN
        RAISE EXCEPTION 'the tenant is not erasing' USING ERRCODE = 'SR002';
    END IF;
    SELECT c.key INTO last_key
        FROM (SELECT key FROM strongroom.record WHERE tenant_id = erased AND key > after_key ORDER BY key LIMIT at_most) c
        ORDER BY c.key DESC LIMIT 1;
    last_key := coalesce(last_key, after_key);
    IF last_key > after_key THEN
        DELETE FROM strongroom.record WHERE tenant_id = erased AND key > after_key AND key <= last_key;
        GET DIAGNOSTICS gone = ROW_COUNT;
        RETURN;
    END IF;
    SELECT coalesce(max(c.seq), after_seq) INTO last_seq
        FROM (SELECT seq FROM strongroom.log WHERE tenant_id = erased AND seq > after_seq ORDER BY seq LIMIT at_most) c;
    IF last_seq > after_seq THEN
        WITH taken AS (
            DELETE FROM strongroom.log WHERE tenant_id = erased AND seq > after_seq AND seq <= last_seq
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
        RETURN;
    END IF;
    IF after_key = '' AND after_seq < 0 AND NOT EXISTS (SELECT FROM strongroom.archived WHERE tenant_id = erased) THEN
        DELETE FROM strongroom.head WHERE tenant_id = erased;
        DELETE FROM strongroom.tenant WHERE tenant_id = erased;
        GET DIAGNOSTICS gone = ROW_COUNT;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strongroom.erase_next(bytea, bigint, bytea, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.erase_next(bytea, bigint, bytea, bigint) TO strongroom_runtime;
