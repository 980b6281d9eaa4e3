-- Which servers live, and what only one of them does at a time. Both tables are the deployment's, and hold nothing of a tenant.

CREATE TABLE strongroom.replica (
    replica_id bytea PRIMARY KEY CHECK (octet_length(replica_id) = 16),
    api_addr   text NOT NULL,
    hostname   text NOT NULL,
    version    text NOT NULL,
    asked      bigint NOT NULL,
    since      bigint NOT NULL,
    heard      bigint NOT NULL
) WITH (fillfactor = 50);

-- A lease is its holder's as long as that one is among the replicas. Each change of hands is an epoch.
CREATE TABLE strongroom.lease (
    name   text PRIMARY KEY,
    holder bytea CHECK (octet_length(holder) = 16),
    epoch  bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO strongroom.lease (name, epoch) VALUES ('upkeep', 0), ('checkpoint', 0), ('archive', 0), ('backup', 0);

ALTER TABLE strongroom.replica ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY replica_for_all ON strongroom.replica USING (true) WITH CHECK (true);
ALTER TABLE strongroom.lease ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY lease_for_all ON strongroom.lease USING (true) WITH CHECK (true);

-- Says that a server lives; then drops those that were not heard of for `lapse` nanoseconds, by this clock, and takes those
-- of the leases `wanted` that no living one has. One call is one transaction, which no hung server can hold open; and nobody waits in it for anybody: whose row
-- is being written right now lives, and a lease under which somebody is committing right now is taken the next time.
-- Runs with the caller's rights.
CREATE FUNCTION strongroom.beat(me bytea, own_api_addr text, own_hostname text, own_version text, own_asked bigint,
    wanted text[], lapse bigint)
    RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
DECLARE
    clock bigint := (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 * 1000;
BEGIN
    INSERT INTO strongroom.replica (replica_id, api_addr, hostname, version, asked, since, heard)
        VALUES (me, own_api_addr, own_hostname, own_version, own_asked, clock, clock)
        ON CONFLICT (replica_id) DO UPDATE SET asked = excluded.asked, heard = excluded.heard;
    -- One takes at a time, and sees what the one before took.
    IF pg_catalog.pg_try_advisory_xact_lock(8316301862714045292) THEN
        -- A clock that went back leaves times of the future behind: these are no sign of life either.
        DELETE FROM strongroom.replica WHERE replica_id = ANY (ARRAY(
            SELECT r.replica_id FROM strongroom.replica r WHERE r.heard < clock - lapse OR r.heard > clock + lapse
            FOR UPDATE SKIP LOCKED));
        UPDATE strongroom.lease l SET holder = me, epoch = l.epoch + 1 WHERE l.name = ANY (ARRAY(
            SELECT f.name FROM strongroom.lease f
            WHERE f.name = ANY (wanted)
            AND (f.holder IS NULL OR NOT EXISTS (SELECT FROM strongroom.replica r WHERE r.replica_id = f.holder))
            FOR UPDATE OF f SKIP LOCKED));
    END IF;
END
$$;

REVOKE ALL ON FUNCTION strongroom.beat(bytea, text, text, text, bigint, text[], bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.beat(bytea, text, text, text, bigint, text[], bigint) TO strongroom_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON strongroom.replica TO strongroom_runtime;
GRANT SELECT, UPDATE ON strongroom.lease TO strongroom_runtime;
