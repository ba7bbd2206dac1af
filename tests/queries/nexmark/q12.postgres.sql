SELECT bidder, count(*) AS bid_count, window_start, window_end
FROM (
  SELECT *, date_bin('10 seconds', date_time, timestamp '1970-01-01') AS window_start,
         date_bin('10 seconds', date_time, timestamp '1970-01-01') + interval '10 seconds'
           AS window_end
  FROM bid) AS windows
GROUP BY bidder, window_start, window_end
