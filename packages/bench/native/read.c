/* From the socket to the messages. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define READ_BYTES (128u << 10)
#define SHORT_HEADER 16
#define LONG_HEADER 20
#define CHECKSUM 1
/* A body of 9 is frames, as a rule none of them a 9. */
#define MAX_DEPTH 4
/* Of one connection, until the others have their turn. */
#define MAX_READS 16
/* What a connection may keep for the next frame in pieces. */
#define KEPT_BYTES 4096

/* All connections read into one buffer, behind what one has held back. */
static uint8_t *buffer;
static size_t buffer_bytes;

static bool make_room(size_t held_bytes) {
  if (buffer_bytes >= held_bytes + READ_BYTES) return true;
  uint8_t *grown = realloc(buffer, held_bytes * 2 + READ_BYTES);
  if (!grown) return false;
  buffer = grown;
  buffer_bytes = held_bytes * 2 + READ_BYTES;
  return true;
}

static void hold(Connection *connection, const uint8_t *bytes, size_t length) {
  if (length > connection->held_room || (length == 0 && connection->held_room > KEPT_BYTES)) {
    free(connection->held);
    connection->held = length > 0 ? malloc(length) : NULL;
    connection->held_room = (uint32_t)length;
  }
  if (length > 0 && !connection->held) {
    connection_lose(connection, "bad_memory");
    return;
  }
  if (length > 0) memcpy(connection->held, bytes, length);
  connection->held_bytes = (uint32_t)length;
}

static size_t take(Connection *connection, const uint8_t *bytes, size_t length, uint64_t now_ns) {
  if (!connection_address(connection)->websocket) return take_frames(connection, bytes, length, now_ns, 0);
  size_t at = 0;
  if (connection->state == UPGRADING) at = take_upgrade(connection, bytes, length);
  if (connection->fd < 0 || connection->state == UPGRADING) return at;
  return at + take_websocket(connection, bytes + at, length - at, now_ns);
}

/* Reads once; whether there may be more. */
static bool read_once(Connection *connection, bool ends) {
  const size_t held_bytes = connection->held_bytes;
  if (!make_room(held_bytes)) {
    connection_lose(connection, "bad_memory");
    return false;
  }
  const size_t room = buffer_bytes - held_bytes;
  const ssize_t got = recv(connection->fd, buffer + held_bytes, room, MSG_DONTWAIT);
  if (got <= 0) {
    if (got == 0) connection_end(connection, "eof");
    else if (errno != EAGAIN && errno != EINTR) connection_fail(connection, errno);
    return got < 0 && errno == EINTR;
  }
  const uint64_t now_ns = clock_ns();
  sample.bytes += (uint64_t)got;
  if (held_bytes > 0) memcpy(buffer, connection->held, held_bytes);
  const size_t length = held_bytes + (size_t)got;
  const size_t taken = take(connection, buffer, length, now_ns);
  if (connection->fd < 0) return false;
  hold(connection, buffer + taken, length - taken);
  return connection->fd >= 0 && (ends || (size_t)got == room);
}

bool connection_read(Connection *connection, bool ends) {
  bool more = true;
  for (int reads = 0; more && reads < MAX_READS; reads += 1) more = read_once(connection, ends);
  return more;
}

/* The answer to the auth: with the long header where version 2 was agreed on. */
static void take_auth(Connection *connection, bool long_header, const uint8_t *body, size_t length, uint64_t now_ns) {
  if (connection->state != AUTHENTICATING) return;
  if (long_header && !take_auth_reply(body, length)) {
    connection_lose(connection, "bad_frame");
  } else if (!long_header && plan.version == 2) {
    connection_lose(connection, "version_1");
  } else {
    connection->long_header = long_header;
    connection_opened(connection, now_ns);
  }
}

/* Whether an operation is an answer to the client, or news, that is no message. */
static bool is_aside(uint32_t op, bool long_header) {
  if (op == 3 || op == 13 || op == 15 || op == 17) return true;
  return long_header && op >= 18 && op <= 63;
}

/* The body of 9 is whole frames; false where it is not. */
static bool take_raw(Connection *connection, const uint8_t *body, size_t length, uint64_t now_ns, int depth) {
  return depth < MAX_DEPTH && take_frames(connection, body, length, now_ns, depth + 1) == length;
}

static void take_frame(Connection *connection, const uint8_t *frame, size_t header, size_t length, uint64_t now_ns,
                       int depth) {
  const uint32_t op = read_u32(frame + 8);
  const bool long_header = header == LONG_HEADER;
  const uint8_t *body = frame + header;
  const size_t body_bytes = length - header - (long_header && read_u16(frame + 16) & CHECKSUM ? 4 : 0);
  bool good = true;
  if (op == 8) take_auth(connection, long_header, body, body_bytes, now_ns);
  else if (op == 9 && !long_header) good = take_raw(connection, body, body_bytes, now_ns, depth);
  else if (op == 20 && long_header) good = take_deliver(connection, body, body_bytes, now_ns);
  else if (op == 30 && long_header) connection->code = read_close_code(body, body_bytes);
  else if (op == 3) sample.heartbeats += 1;
  else if (!is_aside(op, long_header)) take_message(connection->tracks, connection->index, body, body_bytes, now_ns);
  if (!good && connection->fd >= 0) connection_lose(connection, "bad_frame");
}

/* The length of the header at `frame`, of which 16 bytes are there; 0 where it is none. */
static size_t judge(const uint8_t *frame, size_t length, uint32_t pack_bytes) {
  const size_t header = read_u16(frame + 4);
  if (pack_bytes < header || pack_bytes > MAX_FRAME_BYTES) return 0;
  if (header == SHORT_HEADER) return header;
  if (header != LONG_HEADER || plan.version != 2) return 0;
  /* Nobody asked for compression; what else a flag may mean is not known. */
  if (length < LONG_HEADER) return header;
  const uint16_t flags = read_u16(frame + 16);
  return flags & ~CHECKSUM || pack_bytes < header + (flags & CHECKSUM ? 4u : 0u) ? 0 : header;
}

size_t take_frames(Connection *connection, const uint8_t *bytes, size_t length, uint64_t now_ns, int depth) {
  size_t at = 0;
  while (connection->fd >= 0 && length - at >= SHORT_HEADER) {
    const uint8_t *frame = bytes + at;
    const uint32_t pack_bytes = read_u32(frame);
    const size_t header = judge(frame, length - at, pack_bytes);
    if (header == 0) {
      connection_lose(connection, "bad_frame");
      return 0;
    }
    if (length - at < pack_bytes) break;
    take_frame(connection, frame, header, pack_bytes, now_ns, depth);
    at += pack_bytes;
  }
  return at;
}
