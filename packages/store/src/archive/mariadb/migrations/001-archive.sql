-- Names are bytes: a collation would take 'a' for 'A', or 'a ' for 'a'. Names that are longer are stored as a hash.
-- DDL has no transactions here: every statement can be repeated.

CREATE TABLE IF NOT EXISTS archive_watermarks (
  epoch VARBINARY(64) NOT NULL,
  shard INT NOT NULL,
  position BIGINT NOT NULL COMMENT 'up to here the shard is archived',
  PRIMARY KEY (epoch, shard)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS archive_streams (
  epoch VARBINARY(64) NOT NULL,
  stream VARBINARY(255) NOT NULL,
  floor BIGINT NOT NULL COMMENT 'entries up to here cannot be resumed from',
  resumable BIGINT NOT NULL COMMENT 'entries above the floor',
  resumable_from_ms BIGINT NOT NULL COMMENT 'when the first of them was accepted, Unix milliseconds',
  archived BIGINT NOT NULL COMMENT 'all entries',
  archived_from_ms BIGINT NOT NULL COMMENT 'when the first of them was accepted, Unix milliseconds',
  PRIMARY KEY (epoch, stream)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS archive_entries (
  epoch VARBINARY(64) NOT NULL,
  stream VARBINARY(255) NOT NULL,
  position BIGINT NOT NULL COMMENT 'offset of the record in its bus partition × 1024 + index in the record',
  accepted_at_ms BIGINT NOT NULL COMMENT 'Unix milliseconds',
  expire_at_ms BIGINT NOT NULL COMMENT 'Unix milliseconds; 0 is never',
  operation INT NOT NULL,
  id TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  caller TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  traceparent TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  only_keys MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT 'JSON array of devices; NULL is all',
  body_bytes INT NOT NULL,
  body_shard INT NULL COMMENT 'the body is in archive_bodies, under this shard and the position',
  body LONGBLOB NULL,
  PRIMARY KEY (epoch, stream, position),
  KEY archive_entries_by_time (epoch, stream, accepted_at_ms)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS archive_bodies (
  epoch VARBINARY(64) NOT NULL,
  shard INT NOT NULL,
  position BIGINT NOT NULL,
  entries BIGINT NOT NULL COMMENT 'how many entries have this body; it goes with the last of them',
  body LONGBLOB NOT NULL,
  PRIMARY KEY (epoch, shard, position)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
