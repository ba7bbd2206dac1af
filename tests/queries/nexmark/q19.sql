-- Ten highest bids of an auction
SELECT *
FROM (
  SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, id) AS place
  FROM bid) AS q
WHERE q.place <= 10
