-- What happens to the tables, noted by triggers of PostgreSQL itself: what the readers of the Parquet
-- files must find. A cell is noted in a form that every reader can make of its own value:
--   date: days since 1970; timestamps: microseconds since 1970 (UTC); infinite ones: the largest and
--   smallest value, as docs/parquet.md says; bytea: hexadecimal digits; all else: the output text.
CREATE SCHEMA audit;
CREATE TABLE audit.changes (
  n bigserial PRIMARY KEY, tab oid NOT NULL, op text NOT NULL, xid bigint,
  commit_us bigint,  -- where the transaction has set it (audit.commit_us)
  cells json, before json, unchanged text[]);

-- A column's type: of a domain, what it is a domain over.
CREATE FUNCTION audit.type_of(a pg_attribute) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN typtype = 'd' THEN format_type(typbasetype, -1)
              ELSE format_type(a.atttypid, a.atttypmod) END
  FROM pg_type WHERE oid = a.atttypid $$;

CREATE FUNCTION audit.columns(tab oid) RETURNS SETOF pg_attribute LANGUAGE sql AS $$
  SELECT * FROM pg_attribute
  WHERE attrelid = tab AND attnum > 0 AND NOT attisdropped ORDER BY attnum $$;

CREATE FUNCTION audit.in_key(tab oid, number int2) RETURNS bool LANGUAGE sql AS $$
  SELECT EXISTS (SELECT FROM pg_index
                 WHERE indrelid = tab AND indisprimary AND number = ANY (indkey::int2[])) $$;

-- An expression for the text of one cell.
CREATE FUNCTION audit.cell(type text, value text) RETURNS text LANGUAGE sql AS $$
  SELECT format(CASE
    WHEN type = 'date' THEN
      'CASE %1$s WHEN ''infinity'' THEN 2147483647 WHEN ''-infinity'' THEN -2147483647 '
      'ELSE %1$s - date ''1970-01-01'' END::text'
    WHEN type LIKE 'timestamp%zone' THEN
      'CASE %1$s WHEN ''infinity'' THEN 9223372036854775807 '
      'WHEN ''-infinity'' THEN -9223372036854775807 '
      'ELSE (extract(epoch FROM %1$s) * 1000000)::bigint END::text'
    WHEN type = 'bytea' THEN 'encode(%1$s, ''hex'')'
    WHEN type LIKE 'character(%' THEN '%1$s::text'  -- without its padding
    ELSE 'CASE WHEN %1$s IS DISTINCT FROM NULL THEN format(''%%s'', %1$s) END' END, value) $$;

-- A SELECT that makes a JSON object of the row $1: cells, or output texts as they are.
CREATE FUNCTION audit.image(tab oid, as_cells bool, only_key bool) RETURNS text LANGUAGE sql AS $$
  SELECT format('SELECT json_object(ARRAY[%s]::text[], ARRAY[%s]::text[])',
    coalesce(string_agg(quote_literal(attname), ', ' ORDER BY attnum), ''),
    coalesce(string_agg(audit.cell(CASE WHEN as_cells THEN audit.type_of(c) ELSE '' END,
                                   format('($1).%I', attname)), ', ' ORDER BY attnum), ''))
  FROM audit.columns(tab) c WHERE NOT only_key OR audit.in_key(tab, attnum) $$;

-- A SELECT of the columns that are stored apart and did not change from $2 to $1: not sent.
CREATE FUNCTION audit.not_sent(tab oid) RETURNS text LANGUAGE sql AS $$
  SELECT format('SELECT array_remove(ARRAY[%s]::text[], NULL)',
    string_agg(format('CASE WHEN ($1).%1$I = ($2).%1$I AND octet_length(($1).%1$I) > 3000 '
                      'THEN %1$L END', attname), ', ' ORDER BY attnum))
  FROM audit.columns(tab) WHERE attstorage = 'e' $$;

CREATE FUNCTION audit.record() RETURNS trigger LANGUAGE plpgsql
  SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
  SET bytea_output = 'hex' SET extra_float_digits = 1 AS $$
DECLARE
  whole bool := (SELECT relreplident = 'f' FROM pg_class WHERE oid = TG_RELID);
  in_snapshot bool := coalesce(current_setting('audit.snapshot', true), '') = 'yes';
  result audit.changes;
  old_key json;
  new_key json;
BEGIN
  result.tab := TG_RELID;
  result.op := CASE WHEN in_snapshot THEN 'r' ELSE lower(left(TG_OP, 1)) END;
  result.xid := CASE WHEN in_snapshot THEN 0
                     ELSE pg_current_xact_id()::text::bigint & 4294967295 END;
  result.commit_us := nullif(current_setting('audit.commit_us', true), '')::bigint;
  IF TG_OP IN ('INSERT', 'UPDATE') THEN
    EXECUTE audit.image(TG_RELID, true, false) INTO result.cells USING NEW;
  ELSIF TG_OP = 'DELETE' THEN
    EXECUTE audit.image(TG_RELID, true, NOT whole) INTO result.cells USING OLD;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    EXECUTE audit.not_sent(TG_RELID) INTO result.unchanged USING NEW, OLD;
    IF whole THEN
      EXECUTE audit.image(TG_RELID, false, false) INTO result.before USING OLD;
    ELSE
      EXECUTE audit.image(TG_RELID, false, true) INTO old_key USING OLD;
      EXECUTE audit.image(TG_RELID, false, true) INTO new_key USING NEW;
      IF old_key::text <> new_key::text THEN result.before := old_key; END IF;
    END IF;
  END IF;
  INSERT INTO audit.changes (tab, op, xid, commit_us, cells, before, unchanged)
  VALUES (result.tab, result.op, result.xid, result.commit_us, result.cells, result.before,
          nullif(result.unchanged, '{}'));
  RETURN NULL;
END $$;

CREATE FUNCTION audit.watch(tab regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON %s '
                 'FOR EACH ROW EXECUTE FUNCTION audit.record()', tab);
  EXECUTE format('CREATE TRIGGER b AFTER TRUNCATE ON %s '
                 'FOR EACH STATEMENT EXECUTE FUNCTION audit.record()', tab);
END $$;

-- All of it, a JSON object a line: the tables with their columns, then what happened in order.
CREATE VIEW audit.lines AS
  SELECT 0 AS n, json_build_object('table', c.oid, 'schema', nspname, 'name', relname, 'columns',
      (SELECT coalesce(json_agg(json_build_object('name', attname, 'type', audit.type_of(a))), '[]')
       FROM audit.columns(c.oid) a)) AS line
    FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace
    WHERE c.oid IN (SELECT tab FROM audit.changes)
  UNION ALL
  SELECT n, row_to_json(changes) FROM audit.changes;
