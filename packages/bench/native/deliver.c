/* What version 2 carries in protobuf (protos/halley/client/v1), as far as a load needs it. */
#include "load.h"

#include <stdio.h>
#include <string.h>

#define ACK 21
#define ACK_NS NS_PER_S
#define MAX_EPOCHS 64
#define EPOCH_BYTES 64

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Where a message is read. */
typedef struct {
  const uint8_t *at, *end;
} Reader;

typedef struct {
  uint32_t number, wire;
  uint64_t value;      /* of a varint */
  const uint8_t *from; /* of bytes */
  size_t length;
} Field;

/* Epochs are few, and the same for all: each is kept once. */
static char epochs[MAX_EPOCHS][EPOCH_BYTES];
static int epoch_count;

/* The server's windows, from the last auth reply: half of one is acknowledged at once. */
static uint64_t window_entries = 64;
static uint64_t window_bytes = 64 << 10;

static bool read_varint(Reader *reader, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; shift < 70 && reader->at < reader->end; shift += 7) {
    const uint8_t byte = *reader->at++;
    if (shift < 64) *value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

static bool skip(Reader *reader, size_t length) {
  if ((size_t)(reader->end - reader->at) < length) return false;
  reader->at += length;
  return true;
}

/* Reads one field; false where it is malformed. */
static bool read_field(Reader *reader, Field *field) {
  uint64_t value;
  if (!read_varint(reader, &value)) return false;
  field->number = (uint32_t)(value >> 3);
  field->wire = value & 7;
  switch (field->wire) {
    case VARINT:
      return read_varint(reader, &field->value);
    case FIXED64:
      return skip(reader, 8);
    case FIXED32:
      return skip(reader, 4);
    case BYTES:
      if (!read_varint(reader, &value) || value > (uint64_t)(reader->end - reader->at)) return false;
      field->from = reader->at;
      field->length = value;
      return skip(reader, value);
    default:
      return false;
  }
}

bool take_auth_reply(const uint8_t *body, size_t length) {
  Reader reader = {body, body + length};
  Field field;
  while (reader.at < reader.end) {
    if (!read_field(&reader, &field)) return false;
    if (field.number == 9 && field.wire == VARINT && field.value > 0) window_entries = field.value;
    if (field.number == 10 && field.wire == VARINT && field.value > 0) window_bytes = field.value;
  }
  return true;
}

uint16_t read_close_code(const uint8_t *body, size_t length) {
  Reader reader = {body, body + length};
  Field field;
  while (reader.at < reader.end && read_field(&reader, &field)) {
    if (field.number == 1 && field.wire == VARINT) return (uint16_t)field.value;
  }
  return 0;
}

/* Takes an entry; how long its body is, or -1 where it is malformed. */
static int64_t take_entry(Connection *connection, const Field *entry, uint64_t now_ns) {
  Reader reader = {entry->from, entry->from + entry->length};
  Field field, body = {0};
  while (reader.at < reader.end) {
    if (!read_field(&reader, &field)) return -1;
    if (field.number == 4 && field.wire == BYTES) body = field;
  }
  take_message(connection->tracks, connection->index, body.from, body.length, now_ns);
  return (int64_t)body.length;
}

/* The index of an epoch, -1 where there are too many. */
static int epoch_index(const Field *epoch) {
  for (int i = 0; i < epoch_count; i += 1) {
    if (strlen(epochs[i]) == epoch->length && memcmp(epochs[i], epoch->from, epoch->length) == 0) return i;
  }
  if (epoch_count == MAX_EPOCHS || epoch->length >= EPOCH_BYTES) return -1;
  memcpy(epochs[epoch_count], epoch->from, epoch->length);
  return epoch_count++;
}

static int stream_kind(const Field *stream) {
  if (stream->length < 2) return -1;
  if (stream->from[1] == '/') return stream->from[0] == 'u' ? KIND_USER : stream->from[0] == 'r' ? KIND_ROOM : -1;
  return stream->length == 3 && memcmp(stream->from, "all", 3) == 0 ? KIND_EVERYONE : -1;
}

/* Notes how far a stream has come, to be told within a second, or at once where half the window is used. */
static bool note(Connection *connection, int kind, int epoch, int64_t through, uint32_t entries, uint32_t bytes,
                 uint64_t now_ns) {
  if (kind < 0 || epoch < 0) return false;
  Unacked *unacked = &connection->unacked[kind];
  unacked->through = through;
  unacked->epoch = (uint8_t)epoch;
  unacked->entries += entries;
  unacked->bytes += bytes;
  unacked->due = true;
  if (unacked->entries * 2 >= window_entries || unacked->bytes * 2 >= window_bytes) send_acks(connection);
  else if (connection->ack_ns == 0) connection_wake_at(connection, now_ns + ACK_NS);
  return true;
}

bool take_deliver(Connection *connection, const uint8_t *body, size_t length, uint64_t now_ns) {
  Reader reader = {body, body + length};
  Field field, stream = {0}, epoch = {0};
  int64_t through = 0;
  uint32_t entries = 0, bytes = 0;
  while (reader.at < reader.end) {
    if (!read_field(&reader, &field)) return false;
    if (field.number == 1 && field.wire == BYTES) stream = field;
    if (field.number == 2 && field.wire == BYTES) epoch = field;
    if (field.number == 5 && field.wire == VARINT) through = (int64_t)field.value;
    if (field.number != 4 || field.wire != BYTES) continue;
    const int64_t body_bytes = take_entry(connection, &field, now_ns);
    if (body_bytes < 0) return false;
    entries += 1;
    bytes += (uint32_t)body_bytes;
  }
  /* Without an epoch there is nothing to acknowledge. */
  if (epoch.length == 0) return true;
  return note(connection, stream_kind(&stream), epoch_index(&epoch), through, entries, bytes, now_ns);
}

static uint8_t *write_varint(uint8_t *at, uint64_t value) {
  for (; value > 127; value >>= 7) *at++ = (uint8_t)(value | 128);
  *at++ = (uint8_t)value;
  return at;
}

static uint8_t *write_text(uint8_t *at, uint8_t field, const char *text) {
  const size_t length = strlen(text);
  *at++ = (uint8_t)(field << 3 | BYTES);
  at = write_varint(at, length);
  memcpy(at, text, length);
  return at + length;
}

static void stream_name(char *out, size_t room, const Connection *connection, int kind) {
  if (kind == KIND_USER) snprintf(out, room, "u/%lld", (long long)(plan.first_mid + connection->index));
  else if (kind == KIND_EVERYONE) snprintf(out, room, "all");
  else snprintf(out, room, "r/%s://%u", plan.room_type, plan.rooms ? connection->index % plan.rooms : 0);
}

/* Writes a cursor as an element of Ack; what is behind it. */
static uint8_t *write_cursor(uint8_t *at, const Connection *connection, int kind) {
  const Unacked *unacked = &connection->unacked[kind];
  uint8_t cursor[MAX_NAME + 32 + EPOCH_BYTES + 16];
  char name[MAX_NAME + 32];
  stream_name(name, sizeof name, connection, kind);
  uint8_t *end = write_text(cursor, 1, name);
  end = write_text(end, 2, epochs[unacked->epoch]);
  *end++ = 3 << 3 | VARINT;
  end = write_varint(end, (uint64_t)unacked->through);
  *at++ = 1 << 3 | BYTES;
  at = write_varint(at, (uint64_t)(end - cursor));
  memcpy(at, cursor, (size_t)(end - cursor));
  return at + (end - cursor);
}

void send_acks(Connection *connection) {
  uint8_t body[KINDS * (MAX_NAME + EPOCH_BYTES + 64)];
  uint8_t *end = body;
  for (int kind = 0; kind < KINDS; kind += 1) {
    Unacked *unacked = &connection->unacked[kind];
    if (!unacked->due) continue;
    end = write_cursor(end, connection, kind);
    unacked->due = false;
    unacked->entries = 0;
    unacked->bytes = 0;
  }
  connection->ack_ns = 0;
  if (end > body) send_frame(connection, ACK, body, (size_t)(end - body));
}
