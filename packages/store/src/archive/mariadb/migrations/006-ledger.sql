-- What went wrong with pushes, and where the messages of a push stand. MySQL knows no CREATE INDEX IF NOT EXISTS: asked first,
-- so that every statement can be repeated.

CREATE TABLE IF NOT EXISTS ledger_exceptions (
  row_id BINARY(16) NOT NULL COMMENT 'UUIDv7',
  push_id VARBINARY(512) NOT NULL COMMENT 'empty in rows of kind lost',
  caller VARBINARY(512) NOT NULL COMMENT 'empty where no API key is required',
  kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'expired, dropped, dead, refused; lost: so many reports were lost',
  reason VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tier VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  node VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  at_ms BIGINT NOT NULL COMMENT 'the first time, Unix milliseconds',
  last_at_ms BIGINT NOT NULL COMMENT 'the last time',
  stream VARBINARY(255) NOT NULL COMMENT 'empty is not known',
  position BIGINT NULL COMMENT 'NULL of what is not kept',
  device_keys MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT 'JSON array of some of the devices',
  count BIGINT NOT NULL COMMENT 'of how many devices or messages',
  PRIMARY KEY (row_id),
  KEY ledger_exceptions_by_push (push_id, at_ms),
  KEY ledger_exceptions_by_time (last_at_ms)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

SET @create = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'archive_entries' AND index_name = 'archive_entries_by_id') = 0,
  'CREATE INDEX archive_entries_by_id ON archive_entries (id(128))',
  'DO 0');

PREPARE create_index FROM @create;

EXECUTE create_index;

DEALLOCATE PREPARE create_index;
