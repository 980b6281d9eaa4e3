-- Records go by their keys, one by one: whatever is known of the tables when it is planned, no other rows are read. This step only adds:
-- servers that know version 8 go on with it.

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
