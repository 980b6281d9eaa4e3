-- A group locks the heads of the tenants that it changes, and only watches those that it reads (ancestors of a request
-- that makes nothing lasting). Both are in the signed context, so both are seen by the statements that follow.

-- Enters the context, as the function of the same name, and locks the heads of `locked`, in order. Row security keeps
-- it to tenants of the context. Runs with the caller's rights.
CREATE FUNCTION strongroom.enter(context text, locked bytea[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
BEGIN
    PERFORM strongroom.enter(context, false);
    -- A transaction that only reads may not even ask for locks.
    IF cardinality(locked) > 0 THEN
        PERFORM 1 FROM strongroom.head h WHERE h.tenant_id = ANY (locked) ORDER BY h.tenant_id FOR NO KEY UPDATE;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION strongroom.enter(text, bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.enter(text, bytea[]) TO strongroom_runtime;
