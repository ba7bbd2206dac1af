-- Log to file system
SELECT auction, bidder, price, date_time, extra,
       CAST(CAST(date_time AS date) AS text) AS dt,
       substring(CAST(date_time AS text) FROM 12 FOR 5) AS hm
FROM bid
