-- How far users have read streams. Of each stream that of the newest epoch, which is where the archive's own come from.

CREATE TABLE IF NOT EXISTS read_positions (
  mid VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  stream VARBINARY(255) NOT NULL,
  epoch VARBINARY(64) NOT NULL,
  position BIGINT NOT NULL COMMENT 'read up to here; grows within an epoch',
  at_ms BIGINT NOT NULL COMMENT 'when it was told, Unix milliseconds',
  PRIMARY KEY (mid, stream)
) ENGINE = InnoDB;
