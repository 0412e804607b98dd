-- A job that is killed right after it put a record aside does so again: the record's place tells that it is the same letter. A
-- column that can be NULL is added at once; rows that were there keep NULL, which is no duplicate of anything.

SET @alter = IF(
  (SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'dead_letters' AND column_name = 'source') = 0,
  'ALTER TABLE dead_letters
    ADD COLUMN source BINARY(32) NULL COMMENT ''stands for topic, from_partition and from_offset; NULL is not known'',
    ADD UNIQUE KEY dead_letters_by_source (epoch, source)',
  'DO 0');

PREPARE alter_letters FROM @alter;

EXECUTE alter_letters;

DEALLOCATE PREPARE alter_letters;
