-- What happens to the tables while the program runs, in two parts: some of it at times that the
-- transactions themselves give, as replicated ones do, so that there are files of several dates.
SET datestyle = 'ISO';
SELECT pg_replication_origin_create('elsewhere_' || current_database());
SELECT pg_replication_origin_session_setup('elsewhere_' || current_database());
CREATE FUNCTION audit.commit_at(at timestamptz) RETURNS void LANGUAGE sql AS $$
  SELECT pg_replication_origin_xact_setup('0/1', at),
         set_config('audit.commit_us', (extract(epoch FROM at) * 1000000)::bigint::text, true) $$;

BEGIN;
SELECT audit.commit_at('1969-12-31 23:59:59.999999+00');
INSERT INTO everything (id, a_boolean, a_real, a_double, a_date, a_timestamp, a_timestamptz) VALUES
  (4, true, 0.1, 0.1, '4713-11-24 BC', '4713-11-24 00:00 BC', '4713-11-24 00:00+00 BC'),
  (5, true, 3.4028235e38, 1.7976931348623157e308, '5874897-12-31', '294247-01-10 04:00:54.775806',
   '294247-01-10 04:00:54.775806+00'),
  (6, true, 1e-45, 5e-324, '0001-01-01', '0001-01-01 00:00', '0001-01-01 00:00+00'),
  (7, true, '-0', '-0', '1582-10-10', '1582-10-10 00:00', '1899-12-31 23:59:59.999999+00'),
  (8, true, '-Infinity', 'Infinity', '1969-12-31', '1969-12-31 23:59:59.999999',
   '1969-12-31 23:59:59.999999+00'),
  (9, true, 16777217, 9007199254740993, '9999-12-31', '9999-12-31 23:59:59.999999',
   '9999-12-31 23:59:59.999999+00');
COMMIT;
BEGIN;
SELECT audit.commit_at('2000-02-29 12:00:00.5+05:30');
UPDATE everything SET a_boolean = NOT a_boolean, a_numeric = 1.5, a_mood = 'happy' WHERE id IN (1, 2);
INSERT INTO grown VALUES (2, NULL);
UPDATE whole SET amount = -9999999999.99, note = 'c' WHERE amount = 1.5;
UPDATE whole SET at = 'infinity' WHERE amount IS NULL;
COMMIT;
BEGIN;
SELECT audit.commit_at('2027-01-01 00:00:00+00');
DELETE FROM whole WHERE amount IS NULL;
UPDATE long SET v = v + 1 WHERE id <= 2;
UPDATE long SET id = id + 100 WHERE id = 3;
UPDATE long SET big = 'short' WHERE id = 4;
DELETE FROM long WHERE id = 5;
INSERT INTO long VALUES (6, 6, NULL, repeat('x', 100000));
COMMIT;
SELECT pg_replication_origin_session_reset();

INSERT INTO everything SELECT (e).* FROM (SELECT jsonb_populate_record(e, '{"id": 10}') e
  FROM everything e WHERE id = 2) x;
UPDATE everything SET id = -9223372036854775808 WHERE id = 3;
DELETE FROM everything WHERE id IN (1, 4);
INSERT INTO "Sales Dept"."Żuk.=%20 ""x""" VALUES
  (2, 'a', 'b', 'c', 'infinity', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l');
UPDATE "Sales Dept"."Żuk.=%20 ""x""" SET "Id" = 3, "a.b" = 'again' WHERE "Id" = 1;
DELETE FROM "Sales Dept"."Żuk.=%20 ""x""" WHERE "Id" = 2;
INSERT INTO many SELECT i, 'c' || i % 7, i / 100.0, '2026-01-01'::timestamptz + i * interval '1 s'
  FROM generate_series(501, 3000) i;
UPDATE many SET amount = -amount, code = NULL WHERE id % 7 = 0;
DELETE FROM many WHERE id % 11 = 0;
INSERT INTO bare DEFAULT VALUES;
TRUNCATE bare;
BEGIN;
INSERT INTO grown VALUES (3, 3);
TRUNCATE grown;
INSERT INTO grown VALUES (4, 4);
COMMIT;
