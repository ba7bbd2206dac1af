SELECT p.id, p.name, p.window_start
FROM (
  SELECT id, name, window_start, window_end
  FROM (
    SELECT *, date_bin('10 seconds', date_time, timestamp '1970-01-01') AS window_start,
           date_bin('10 seconds', date_time, timestamp '1970-01-01') + interval '10 seconds'
             AS window_end
    FROM person) AS windows
  GROUP BY id, name, window_start, window_end) AS p
JOIN (
  SELECT seller, window_start, window_end
  FROM (
    SELECT *, date_bin('10 seconds', date_time, timestamp '1970-01-01') AS window_start,
           date_bin('10 seconds', date_time, timestamp '1970-01-01') + interval '10 seconds'
             AS window_end
    FROM auction) AS windows
  GROUP BY seller, window_start, window_end) AS a
ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end
