-- Servers of two versions on one database, and what servers tell each other of rate limits. This step only adds: servers that know
-- version 8 go on with it.

-- The oldest version that a program must know to serve from this one. None: this very version.
ALTER TABLE strongroom.schema_version ADD COLUMN oldest bigint CHECK (oldest BETWEEN 1 AND version);

-- `knows`: the version that the server's program knows; none: one from before this column, 8. `quotas`: what it claims of rate limits,
-- by keyed hashes (src/quota/claims.rs).
ALTER TABLE strongroom.replica ADD COLUMN knows bigint, ADD COLUMN quotas bytea NOT NULL DEFAULT '' CHECK (octet_length(quotas) <= 65536);

-- The end of a step: the schema has this version, and takes servers that know `oldest_known`. Refused while a server lives that knows less:
-- it would go on with what is not there any more. Runs with the owner's rights, who alone may call it.
CREATE FUNCTION strongroom.take_version(taken bigint, oldest_known bigint)
    RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    clock bigint := (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 * 1000;
    living text;
BEGIN
    SELECT pg_catalog.format('%s, version %s, knows schema version %s', r.hostname, r.version, coalesce(r.knows, 8)) INTO living
        FROM strongroom.replica r
        WHERE coalesce(r.knows, 8) < oldest_known AND r.heard BETWEEN clock - 10000000000 AND clock + 10000000000
        ORDER BY r.knows NULLS FIRST LIMIT 1;
    IF living IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'SR009', MESSAGE = pg_catalog.format(
            'schema version %s takes servers that know version %s at least, and one lives that does not (%s): stop it first',
            taken, oldest_known, living);
    END IF;
    INSERT INTO strongroom.schema_version (version, oldest) VALUES (taken, oldest_known);
END
$$;
REVOKE ALL ON FUNCTION strongroom.take_version(bigint, bigint) FROM PUBLIC;

-- As `beat` of before, which stays for servers of before; and writes down what is new.
CREATE FUNCTION strongroom.beat(me bytea, own_api_addr text, own_hostname text, own_version text, own_asked bigint,
    wanted text[], lapse bigint, own_knows bigint, own_quotas bytea)
    RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
BEGIN
    PERFORM strongroom.beat(me, own_api_addr, own_hostname, own_version, own_asked, wanted, lapse);
    UPDATE strongroom.replica r SET knows = own_knows, quotas = own_quotas
        WHERE r.replica_id = me AND (r.knows, r.quotas) IS DISTINCT FROM (own_knows, own_quotas);
END
$$;
REVOKE ALL ON FUNCTION strongroom.beat(bytea, text, text, text, bigint, text[], bigint, bigint, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.beat(bytea, text, text, text, bigint, text[], bigint, bigint, bytea) TO strongroom_runtime;
