-- The history of a headcount server. Times are seconds since 1970 (UTC), each the beginning of
-- its minute or hour. A mean is person_seconds / seconds.

-- Every room that is kept, and its highest number ever. Of the time before `since` nothing is
-- known of it, because rooms were given up then. Room 0 is all rooms together.
CREATE TABLE room (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  most INTEGER NOT NULL,
  most_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  since INTEGER NOT NULL
) STRICT;

-- All rooms together, and of how many seconds of the time anything is known.
CREATE TABLE total_minute (
  at INTEGER PRIMARY KEY,
  seconds REAL NOT NULL,
  least INTEGER NOT NULL,
  person_seconds INTEGER NOT NULL,
  most INTEGER NOT NULL
) STRICT;
CREATE TABLE total_hour (
  at INTEGER PRIMARY KEY,
  seconds REAL NOT NULL,
  least INTEGER NOT NULL,
  person_seconds INTEGER NOT NULL,
  most INTEGER NOT NULL
) STRICT;

-- Each room that had someone in it. In the order of time: so a minute is written to one place,
-- and the oldest is removed from one place, however many rooms there are.
CREATE TABLE room_minute (
  at INTEGER NOT NULL,
  room INTEGER NOT NULL,
  least INTEGER NOT NULL,
  person_seconds INTEGER NOT NULL,
  most INTEGER NOT NULL,
  PRIMARY KEY (at, room)
) STRICT, WITHOUT ROWID;
CREATE TABLE room_hour (
  at INTEGER NOT NULL,
  room INTEGER NOT NULL,
  least INTEGER NOT NULL,
  person_seconds INTEGER NOT NULL,
  most INTEGER NOT NULL,
  PRIMARY KEY (at, room)
) STRICT, WITHOUT ROWID;

-- The same for people.
CREATE VIEW minutes AS
  SELECT datetime(at, 'unixepoch') AS utc, name AS room, r.least,
         round(r.person_seconds / t.seconds, 2) AS mean, r.most
  FROM room_minute r JOIN total_minute t USING (at) JOIN room ON room.id = r.room;
CREATE VIEW hours AS
  SELECT datetime(at, 'unixepoch') AS utc, name AS room, r.least,
         round(r.person_seconds / t.seconds, 2) AS mean, r.most
  FROM room_hour r JOIN total_hour t USING (at) JOIN room ON room.id = r.room;
CREATE VIEW peaks AS
  SELECT name AS room, most, datetime(most_at, 'unixepoch') AS utc FROM room WHERE id > 0;

INSERT INTO room VALUES (0, '', 0, 0, 0, 0);
