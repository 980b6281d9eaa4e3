-- What every group and every look-up begins with, in one round trip instead of two. This step only adds: servers that know version 8 go on
-- with it.

-- Enters the context and locks the heads of `locked` (as `enter` does); then, in a statement of its own, whose snapshot is so taken after the
-- last lock was granted, reads the clock, what the tenants `ids` are, and what was written in them after `seqs`: nothing where that is more
-- than `at_most` rows.
CREATE FUNCTION strongroom.open_group(context text, locked bytea[], ids bytea[], seqs bigint[], at_most bigint)
    RETURNS TABLE (
        id bytea, clock bigint, state bigint, generation bigint, seq bigint, first_index bigint, count bigint, "time" bigint,
        prev_root bytea, root bytea, frontier bytea, changed bytea, group_id bytea, mac bytea, seqs_since bigint[],
        prev_roots_since bytea[], changed_since bytea[]
    )
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
#variable_conflict use_column
BEGIN
    PERFORM strongroom.enter(context, locked);
    RETURN QUERY
        SELECT known.id, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8, t.state, t.generation, l.seq, l.first_index,
            l.count, l.time, l.prev_root, l.root, l.frontier, l.changed, l.group_id, l.mac, f.seqs, f.prev_roots, f.changes
        FROM unnest(open_group.ids, open_group.seqs) AS known(id, seq)
        LEFT JOIN strongroom.tenant t ON t.tenant_id = known.id
        LEFT JOIN LATERAL (SELECT n.* FROM strongroom.log n WHERE n.tenant_id = known.id ORDER BY n.seq DESC LIMIT 1) l ON true
        LEFT JOIN LATERAL (
            SELECT array_agg(n.seq ORDER BY n.seq) AS seqs, array_agg(n.prev_root ORDER BY n.seq) AS prev_roots,
                array_agg(n.changed ORDER BY n.seq) AS changes
            FROM strongroom.log n
            WHERE n.tenant_id = known.id AND n.seq > known.seq AND known.seq > 0 AND l.seq - known.seq <= open_group.at_most
        ) f ON true;
END
$$;
REVOKE ALL ON FUNCTION strongroom.open_group(text, bytea[], bytea[], bigint[], bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.open_group(text, bytea[], bytea[], bigint[], bigint) TO strongroom_runtime;

-- Enters the context; then reads the records at these places, `keys[n]` of `ids[n]`, each with its number, counted from 1, and the position of
-- its tenant's log: one row for each. Each is found by index, whatever is known of the tables.
CREATE FUNCTION strongroom.look_up(context text, ids bytea[], keys bytea[])
    RETURNS TABLE (
        place bigint, "position" bigint, dir bytea, seq bigint, expires_at bigint, name bytea, sealed bytea
    )
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER
AS $$
#variable_conflict use_column
BEGIN
    PERFORM strongroom.enter(context, '{}'::bytea[]);
    RETURN QUERY
        SELECT wanted.place,
            coalesce((SELECT l.seq FROM strongroom.log l WHERE l.tenant_id = wanted.id ORDER BY l.seq DESC LIMIT 1), 0),
            r.dir, r.seq, r.expires_at, r.name, r.sealed
        FROM unnest(look_up.ids, look_up.keys) WITH ORDINALITY AS wanted(id, key, place)
        LEFT JOIN LATERAL (
            SELECT c.* FROM strongroom.record c WHERE c.tenant_id = wanted.id AND c.key = wanted.key LIMIT 1
        ) r ON true;
END
$$;
REVOKE ALL ON FUNCTION strongroom.look_up(text, bytea[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strongroom.look_up(text, bytea[], bytea[]) TO strongroom_runtime;
