-- Bids of a user within a window
SELECT bidder, count(*) AS bid_count, window_start, window_end
FROM tumble(bid, date_time, INTERVAL 10 SECOND)
GROUP BY bidder, window_start, window_end
