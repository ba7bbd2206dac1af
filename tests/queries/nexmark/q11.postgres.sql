SELECT bidder, count(*) AS bid_count, window_start, window_end
FROM (
  SELECT bidder, min(date_time) OVER run AS window_start,
         max(date_time) OVER run + interval '10 seconds' AS window_end
  FROM (
    SELECT bidder, date_time, sum(first) OVER (PARTITION BY bidder ORDER BY date_time) AS run
    FROM (
      SELECT bidder, date_time,
             CASE WHEN date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
                       <= interval '10 seconds' THEN 0 ELSE 1 END AS first
      FROM bid) AS firsts) AS runs
  WINDOW run AS (PARTITION BY bidder, run)) AS session
GROUP BY bidder, window_start, window_end
