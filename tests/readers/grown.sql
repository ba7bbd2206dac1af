-- A table has more columns from here on: its next file differs from those before.
ALTER TABLE grown ADD COLUMN second numeric(20,3), ADD COLUMN third timestamptz;
INSERT INTO grown VALUES (5, 5, 12345678901234567.891, '2026-03-01 12:00+02'), (6, NULL, NULL, NULL);
UPDATE grown SET second = 1, id = 7 WHERE id = 4;
DELETE FROM grown WHERE id = 5;
TRUNCATE many, whole;
