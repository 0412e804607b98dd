-- Who sent a message, where a client did. A column that can be NULL is added at once, however large the table is. MySQL knows
-- no ADD COLUMN IF NOT EXISTS: asked first, so that every statement can be repeated.

SET @alter = IF(
  (SELECT COUNT(*) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'archive_entries' AND column_name = 'sender') = 0,
  'ALTER TABLE archive_entries
    ADD COLUMN sender_mid VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT ''NULL is the business'',
    ADD COLUMN sender TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT ''JSON object: key, clientId, toMid''',
  'DO 0');

PREPARE alter_entries FROM @alter;

EXECUTE alter_entries;

DEALLOCATE PREPARE alter_entries;
