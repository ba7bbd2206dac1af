-- The tables of the readers' test, and the rows that the first snapshot finds.
CREATE TYPE mood AS ENUM ('happy', 'so so');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN price AS numeric(10,2);

CREATE TABLE everything (
  id bigint PRIMARY KEY,
  a_boolean boolean, a_smallint smallint, an_integer integer, a_bigint bigint, an_oid oid,
  a_real real, a_double double precision,
  a_decimal4 numeric(4,2), a_decimal9 numeric(9,0), a_decimal18 numeric(18,6),
  a_decimal38 numeric(38,10), a_fraction numeric(38,38), a_numeric numeric,
  too_wide numeric(39,2), rounded numeric(5,-2),
  some_text text, a_varchar varchar(10), a_char character(5), a_bytea bytea,
  a_date date, a_timestamp timestamp, a_timestamptz timestamptz(6), whole_seconds timestamptz(0),
  a_time time, a_timetz timetz, an_interval interval,
  a_uuid uuid, a_json json, a_jsonb jsonb, an_xml xml, an_inet inet, a_bit bit(4), a_point point,
  integers int[], texts text[], instants timestamptz[], a_range int4range, a_period tstzrange,
  a_mood mood, a_pair pair, a_positive positive, a_price price, a_money money);

-- Names that a reader, a folder or another column may trip over.
CREATE SCHEMA "Sales Dept";
CREATE TABLE "Sales Dept"."Żuk.=%20 ""x""" (
  "Id" int PRIMARY KEY, id text, op text, "OP" text, date date, "table" text, before text,
  "select" text, "a.b" text, "with space, comma; (and) {more} = `x`" text, "żółć 🦆" text,
  "it's" text, "tab" text, "ŻÓŁĆ 🦆" text, "new
line" text, "Дата" text, "дата" text);

CREATE TABLE whole (id int, amount numeric(12,2), at timestamptz, note character(4), ok boolean);
ALTER TABLE whole REPLICA IDENTITY FULL;

CREATE TABLE long (id int PRIMARY KEY, v int, big text, "BEFORE" text);
ALTER TABLE long ALTER big SET STORAGE EXTERNAL, ALTER "BEFORE" SET STORAGE EXTERNAL;

-- No column at all: rows are counted, and nothing else.
CREATE TABLE bare ();
CREATE TABLE grown (id int PRIMARY KEY, first int);
CREATE TABLE many (id bigint PRIMARY KEY, code text, amount numeric(10,2), at timestamptz);

SELECT audit.watch(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, '"Sales Dept"'::regnamespace);

-- The server's own way to print values must not reach the files.
DO $$
DECLARE setting text;
BEGIN
  FOREACH setting IN ARRAY ARRAY['timezone = ''Asia/Kolkata''', 'datestyle = ''German''',
      'intervalstyle = ''sql_standard''', 'bytea_output = ''escape''', 'extra_float_digits = 0']
  LOOP
    EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
  END LOOP;
END $$;

SET audit.snapshot = 'yes';
SET datestyle = 'ISO';
INSERT INTO everything VALUES
  (1, true, -32768, -2147483648, -9223372036854775808, 4294967295,
   'NaN', 'NaN', -99.99, -999999999, -999999999999.999999,
   -9999999999999999999999999999.9999999999, -0.99999999999999999999999999999999999999,
   -99999999999999999999999999999.999999999, 9999999999999999999999999999999999999.99, 1234500,
   '', '', '', '',
   '-infinity', '-infinity', '-infinity', '1969-12-31 23:59:59+00',
   '00:00', '00:00:00+00', '-1 years -2 mons +3 days -04:05:06.789',
   '00000000-0000-0000-0000-000000000000', 'null', 'null', '<a/>', '10.0.0.1', '0000', '(1,2)',
   '{}', '{}', '{}', 'empty', 'empty', 'happy', '(,)', 1, -12.50, '-92233720368547758.08'),
  (2, false, 32767, 2147483647, 9223372036854775807, 0,
   'Infinity', '-Infinity', 99.99, 999999999, 999999999999.999999,
   9999999999999999999999999999.9999999999, 0.00000000000000000000000000000000000001,
   0.000000001, 'NaN', 0,
   E'tab\t"quote" back\\slash \n żółć 🦆', 'ab  ', 'abcde', '\x00ff41275c',
   'infinity', 'infinity', 'infinity', 'infinity',
   '24:00', '23:59:59.999999+05:30', '178000000 years',
   'ffffffff-ffff-ffff-ffff-ffffffffffff', '{"a" : [1, null, "x\u00e9"]}', '{"a": 1, "b": [1.50]}',
   '<a>1</a>', 'fe80::1/64', '0101', '(1e300,-0)',
   '{1,NULL,-2147483648}', '{"a,b","",NULL,"q\"\\"}', '{"2026-03-01 12:00:00+02"}', '[1,10)',
   '["2026-01-01 00:00:00+00",)', 'so so', '(1,"x y")', 2147483647, 99999999.99, '1.5');
INSERT INTO everything VALUES (3);
INSERT INTO "Sales Dept"."Żuk.=%20 ""x""" VALUES (1, 'a', 'b', 'c', '2026-01-01', 'e');
INSERT INTO "Sales Dept"."Żuk.=%20 ""x""" SELECT 4, v, v, v, '2026-01-02', v, v, v, v, v, v, v, v, '1', '2', '3', '4' FROM (VALUES ('v')) x(v);
INSERT INTO whole VALUES (1, 1.5, '2026-03-01 12:00+02', 'ab', true), (1, NULL, NULL, NULL, NULL);
INSERT INTO long SELECT i, i, repeat(md5(i::text), 300), repeat('ż', 3000 + i)
  FROM generate_series(1, 5) i;
INSERT INTO grown VALUES (1, 1);
INSERT INTO bare DEFAULT VALUES;
INSERT INTO many SELECT i, 'c' || i % 7, i / 100.0, '2026-01-01'::timestamptz + i * interval '1 s'
  FROM generate_series(1, 500) i;
RESET audit.snapshot;
