-- Pushes that wait for their time. Callers are stored as streams' names are (a long one as a hash). Times are Unix milliseconds.

CREATE TABLE IF NOT EXISTS schedules (
  seq BIGINT NOT NULL AUTO_INCREMENT COMMENT 'the order of acceptance',
  caller VARBINARY(255) NOT NULL,
  id VARBINARY(512) NOT NULL,
  caller_name TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  digest VARBINARY(64) NOT NULL COMMENT 'stands for the content',
  kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'push, digest, member',
  state VARCHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'waiting, firing, fired, cancelled, failed',
  lane INT NOT NULL COMMENT 'by caller; a job leases whole lanes',
  due_at_ms BIGINT NOT NULL,
  queued_at_ms BIGINT NULL COMMENT 'due_at_ms, as long as it is to be fired by itself',
  accepted_at_ms BIGINT NOT NULL,
  expire_at_ms BIGINT NOT NULL COMMENT '0 is never',
  fired_at_ms BIGINT NULL COMMENT 'when it was first leased; the time of acceptance of its push',
  ended_at_ms BIGINT NULL,
  digest_seq BIGINT NULL COMMENT 'of a member: its digest',
  digest_id VARBINARY(512) NULL,
  members INT NOT NULL DEFAULT 0 COMMENT 'of a digest; without the cancelled',
  bytes BIGINT NOT NULL COMMENT 'of content and body; of a digest: of its members, each with a comma',
  recurring VARBINARY(512) NULL COMMENT 'of an occurrence: the name',
  content LONGBLOB NOT NULL COMMENT 'halley.delivery.v1.Scheduled; empty for a member',
  body LONGBLOB NOT NULL COMMENT 'of a member: its item, JSON; empty for a digest',
  PRIMARY KEY (seq),
  UNIQUE KEY schedules_by_id (caller, id),
  KEY schedules_due (queued_at_ms),
  KEY schedules_due_in_lane (lane, queued_at_ms, seq),
  KEY schedules_by_time (caller, state, due_at_ms, seq),
  KEY schedules_ended (ended_at_ms),
  KEY schedules_by_digest (digest_seq, seq)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS schedule_lanes (
  lane INT NOT NULL,
  owner VARBINARY(64) NOT NULL,
  until_ms BIGINT NOT NULL COMMENT 'the lease ends',
  PRIMARY KEY (lane)
) ENGINE = InnoDB;

INSERT IGNORE INTO schedule_lanes (lane, owner, until_ms) VALUES
  (0, '', 0), (1, '', 0), (2, '', 0), (3, '', 0), (4, '', 0), (5, '', 0), (6, '', 0), (7, '', 0),
  (8, '', 0), (9, '', 0), (10, '', 0), (11, '', 0), (12, '', 0), (13, '', 0), (14, '', 0), (15, '', 0);

CREATE TABLE IF NOT EXISTS schedule_groups (
  caller VARBINARY(255) NOT NULL,
  name VARBINARY(255) NOT NULL COMMENT 'stands for group key, target, operation and class',
  digest_seq BIGINT NOT NULL COMMENT 'the digest that takes members, while it waits',
  PRIMARY KEY (caller, name),
  KEY schedule_groups_by_digest (digest_seq)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS schedule_recurring (
  caller VARBINARY(255) NOT NULL,
  name VARBINARY(512) NOT NULL,
  caller_name TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  revision BIGINT NOT NULL,
  cron TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  time_zone TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  end_at_ms BIGINT NOT NULL COMMENT '0 is for ever',
  expire_after_ms BIGINT NOT NULL COMMENT '0 is never',
  next_at_ms BIGINT NULL COMMENT 'NULL: it has ended',
  last_at_ms BIGINT NULL,
  missed BIGINT NOT NULL,
  digest VARBINARY(64) NOT NULL,
  content LONGBLOB NOT NULL COMMENT 'halley.delivery.v1.Scheduled without ids',
  body LONGBLOB NOT NULL,
  PRIMARY KEY (caller, name),
  KEY schedule_recurring_due (next_at_ms)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
