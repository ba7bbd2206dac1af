-- What tests/web/dashboard.test.mjs writes to.
CREATE TABLE guests (id bigint PRIMARY KEY, name text NOT NULL, seats integer NOT NULL);
INSERT INTO guests VALUES (1, 'Ada', 2), (2, 'Edsger', 1), (3, 'Barbara', 4);
