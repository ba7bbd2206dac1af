-- Last bid of a user
SELECT auction, bidder, price, channel, url, date_time, extra
FROM (
  SELECT *, row_number() OVER (
              PARTITION BY bidder, auction ORDER BY date_time DESC, id DESC) AS place
  FROM bid) AS q
WHERE q.place <= 1
