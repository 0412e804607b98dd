-- Which entries are kept for a time of their own, and until when: then their bodies go. Few entries are, so the large table needs
-- no index for it.

CREATE TABLE IF NOT EXISTS archive_endings (
  epoch VARBINARY(64) NOT NULL,
  stream VARBINARY(255) NOT NULL,
  position BIGINT NOT NULL COMMENT 'of an entry; the row goes with its body',
  ends_at_ms BIGINT NOT NULL COMMENT 'Unix milliseconds',
  PRIMARY KEY (epoch, stream, position),
  KEY archive_endings_by_time (ends_at_ms)
) ENGINE = InnoDB;
