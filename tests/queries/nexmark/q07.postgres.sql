SELECT b.auction, b.price, b.bidder, b.date_time, b.extra
FROM bid AS b
JOIN (
  SELECT max(price) AS maxprice, window_end AS date_time
  FROM (
    SELECT *, date_bin('10 seconds', date_time, timestamp '1970-01-01') AS window_start,
           date_bin('10 seconds', date_time, timestamp '1970-01-01') + interval '10 seconds'
             AS window_end
    FROM bid) AS windows
  GROUP BY window_start, window_end) AS b1
ON b.price = b1.maxprice
WHERE b.date_time BETWEEN b1.date_time - interval '10' second AND b1.date_time
