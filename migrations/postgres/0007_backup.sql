-- A backup takes every tenant, also those whose keys no server has open: so it must be told which there are.

CREATE POLICY tenant_listing ON strongroom.tenant FOR SELECT TO strongroom_owner USING (true);

-- Identifiers of tenants, in their order: nothing else of them.
CREATE FUNCTION strongroom.tenants_after(after bytea, at_most bigint) RETURNS SETOF bytea
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tenant_id FROM strongroom.tenant WHERE tenant_id > after ORDER BY tenant_id LIMIT at_most
$$;

REVOKE ALL ON FUNCTION strongroom.tenants_after(bytea, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.tenants_after(bytea, bigint) TO strongroom_runtime;
