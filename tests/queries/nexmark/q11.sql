-- User sessions
SELECT bidder, count(*) AS bid_count, window_start, window_end
FROM session(bid, date_time, INTERVAL 10 SECOND, bidder)
GROUP BY bidder, window_start, window_end
