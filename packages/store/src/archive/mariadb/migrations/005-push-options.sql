-- What a push was accepted with. Columns that can be NULL are added at once, however large the table is. The newest entry of each
-- collapse key stands in a table of its own: the large one needs no index for it.

SET @alter = IF(
  (SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'archive_entries' AND column_name = 'retention_ms') = 0,
  'ALTER TABLE archive_entries
    ADD COLUMN collapse_key TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT ''NULL is none'',
    ADD COLUMN collapse_id BINARY(22) NULL COMMENT ''stands for operation, collapse key and devices'',
    ADD COLUMN retention_ms BIGINT NULL COMMENT ''read for so long after acceptance; NULL is as long as it is kept''',
  'DO 0');

PREPARE alter_entries FROM @alter;

EXECUTE alter_entries;

DEALLOCATE PREPARE alter_entries;

CREATE TABLE IF NOT EXISTS archive_collapses (
  epoch VARBINARY(64) NOT NULL,
  stream VARBINARY(255) NOT NULL,
  collapse_id BINARY(22) NOT NULL,
  position BIGINT NOT NULL COMMENT 'of the newest entry with this collapse_id; the row goes with it',
  PRIMARY KEY (epoch, stream, collapse_id)
) ENGINE = InnoDB;
