-- What was put aside in halley-dead, so that it can be listed and found by its number.

CREATE TABLE IF NOT EXISTS dead_letters (
  id BIGINT NOT NULL AUTO_INCREMENT,
  epoch VARBINARY(64) NOT NULL,
  dead_partition INT NOT NULL COMMENT 'of halley-dead',
  dead_offset BIGINT NOT NULL,
  at_ms BIGINT NOT NULL COMMENT 'when it was put aside, Unix milliseconds',
  topic VARCHAR(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'where the record stood',
  from_partition INT NOT NULL,
  from_offset BIGINT NOT NULL,
  reason VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  detail TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  record_key MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  headers MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'JSON object',
  value LONGBLOB NOT NULL,
  value_bytes BIGINT NOT NULL COMMENT 'of the whole value',
  is_cut TINYINT NOT NULL COMMENT 'not all of the value was kept',
  requeued_at_ms BIGINT NOT NULL COMMENT 'Unix milliseconds; 0 is never',
  PRIMARY KEY (id),
  UNIQUE KEY dead_letters_by_place (epoch, dead_partition, dead_offset)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
