WITH RECURSIVE i(n) AS (SELECT 0 WHERE ?1 > 0 UNION ALL SELECT n + 1 FROM i WHERE n + 1 < ?1)
DELETE FROM record WHERE (tenant_id, key) IN (SELECT substr(?2, n * 48 + 1, 16), substr(?2, n * 48 + 17, 32) FROM i);

WITH RECURSIVE i(n) AS (SELECT 0 WHERE ?3 > 0 UNION ALL SELECT n + 1 FROM i WHERE n + 1 < ?3),
part(seq, expires, expires_at, start, name, sealed) AS (
    SELECT CAST(substr(?4, n * 120 + 1, 20) AS INTEGER), CAST(substr(?4, n * 120 + 21, 20) AS INTEGER),
           CAST(substr(?4, n * 120 + 41, 20) AS INTEGER), CAST(substr(?4, n * 120 + 61, 20) AS INTEGER),
           CAST(substr(?4, n * 120 + 81, 20) AS INTEGER), CAST(substr(?4, n * 120 + 101, 20) AS INTEGER) FROM i)
INSERT OR ROLLBACK INTO record (tenant_id, key, dir, seq, expires_at, name, sealed)
SELECT substr(?5, start, 16), substr(?5, start + 16, 32), substr(?5, start + 48, 32), seq, iif(expires, expires_at, NULL),
       substr(?5, start + 80, name), substr(?5, start + 80 + name, sealed) FROM part WHERE true
ON CONFLICT (tenant_id, key) DO UPDATE SET seq = excluded.seq, expires_at = excluded.expires_at, sealed = excluded.sealed;

WITH RECURSIVE i(n) AS (SELECT 0 WHERE ?6 > 0 UNION ALL SELECT n + 1 FROM i WHERE n + 1 < ?6),
part(seq, first_index, count, time, start, frontier, changed, batch, leaves, summary) AS (
    SELECT CAST(substr(?7, n * 200 + 1, 20) AS INTEGER), CAST(substr(?7, n * 200 + 21, 20) AS INTEGER),
           CAST(substr(?7, n * 200 + 41, 20) AS INTEGER), CAST(substr(?7, n * 200 + 61, 20) AS INTEGER),
           CAST(substr(?7, n * 200 + 81, 20) AS INTEGER), CAST(substr(?7, n * 200 + 101, 20) AS INTEGER),
           CAST(substr(?7, n * 200 + 121, 20) AS INTEGER), CAST(substr(?7, n * 200 + 141, 20) AS INTEGER),
           CAST(substr(?7, n * 200 + 161, 20) AS INTEGER), CAST(substr(?7, n * 200 + 181, 20) AS INTEGER) FROM i)
INSERT OR ROLLBACK INTO log (tenant_id, seq, first_index, count, time, prev_root, root, group_id, mac, frontier, changed, batch, leaves, summary)
SELECT substr(?8, start, 16), seq, first_index, count, time, substr(?8, start + 16, 32), substr(?8, start + 48, 32),
       substr(?8, start + 80, 16), substr(?8, start + 96, 32), substr(?8, start + 128, frontier),
       substr(?8, start + 128 + frontier, changed), substr(?8, start + 128 + frontier + changed, batch),
       substr(?8, start + 128 + frontier + changed + batch, leaves),
       substr(?8, start + 128 + frontier + changed + batch + leaves, summary) FROM part;
