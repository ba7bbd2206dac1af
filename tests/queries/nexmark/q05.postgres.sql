WITH hops AS (
  SELECT b.*, w AS window_start, w + interval '10 seconds' AS window_end
  FROM bid AS b CROSS JOIN LATERAL generate_series(
    date_bin('2 seconds', b.date_time, timestamp '1970-01-01') - interval '8 seconds',
    date_bin('2 seconds', b.date_time, timestamp '1970-01-01'), interval '2 seconds') AS g (w))
SELECT auction_bids.auction, auction_bids.num
FROM (
  SELECT auction, count(*) AS num, window_start, window_end
  FROM hops
  GROUP BY auction, window_start, window_end) AS auction_bids
JOIN (
  SELECT max(count_bids.num) AS maxn, count_bids.window_start, count_bids.window_end
  FROM (
    SELECT count(*) AS num, window_start, window_end
    FROM hops
    GROUP BY auction, window_start, window_end) AS count_bids
  GROUP BY count_bids.window_start, count_bids.window_end) AS max_bids
ON auction_bids.window_start = max_bids.window_start
  AND auction_bids.window_end = max_bids.window_end
  AND auction_bids.num >= max_bids.maxn
