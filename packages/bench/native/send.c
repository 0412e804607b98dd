/* What the load side sends: little, and seldom. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_BODY_BYTES 4096
#define MAX_UNSENT_BYTES (64u << 10)
#define SHORT_HEADER 16
#define LONG_HEADER 20
#define BINARY 2

static void keep_unsent(Connection *connection, const uint8_t *bytes, size_t length) {
  uint8_t *grown = NULL;
  if (connection->unsent_bytes + length <= MAX_UNSENT_BYTES)
    grown = realloc(connection->unsent, connection->unsent_bytes + length);
  if (!grown) {
    connection_lose(connection, "unread");
    return;
  }
  memcpy(grown + connection->unsent_bytes, bytes, length);
  connection->unsent = grown;
  connection->unsent_bytes += (uint32_t)length;
  connection_wants_writes(connection, true);
}

void send_bytes(Connection *connection, const uint8_t *bytes, size_t length) {
  ssize_t sent = 0;
  if (connection->unsent_bytes == 0) {
    sent = send(connection->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      /* What the other side said ahead of its end is still to be read, which then tells the end. */
      return;
    }
    if (sent < 0) sent = 0;
  }
  if ((size_t)sent < length) keep_unsent(connection, bytes + sent, length - (size_t)sent);
}

void send_unsent(Connection *connection) {
  if (connection->unsent_bytes > 0) {
    const ssize_t sent =
        send(connection->fd, connection->unsent, connection->unsent_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      connection->unsent_bytes -= (uint32_t)sent;
      memmove(connection->unsent, connection->unsent + sent, connection->unsent_bytes);
    } else if (errno != EAGAIN && errno != EINTR) {
      connection->unsent_bytes = 0;
    }
  }
  if (connection->unsent_bytes > 0) return;
  free(connection->unsent);
  connection->unsent = NULL;
  connection_wants_writes(connection, false);
}

/* A frame's header, long once version 2 was agreed on. Its length. */
static size_t write_header(uint8_t *at, const Connection *connection, int32_t op, size_t body_bytes) {
  const size_t header = connection->long_header ? LONG_HEADER : SHORT_HEADER;
  write_u32(at, (uint32_t)(header + body_bytes));
  write_u16(at + 4, (uint16_t)header);
  write_u16(at + 6, connection->long_header ? 2 : 1);
  write_u32(at + 8, (uint32_t)op);
  write_u32(at + 12, 0);
  if (connection->long_header) write_u32(at + 16, 0);
  return header;
}

void send_frame(Connection *connection, int32_t op, const void *body, size_t length) {
  uint8_t bytes[16 + LONG_HEADER + MAX_BODY_BYTES];
  if (length > MAX_BODY_BYTES) return;
  const bool websocket = connection_address(connection)->websocket;
  const size_t frame_bytes = (connection->long_header ? LONG_HEADER : SHORT_HEADER) + length;
  const size_t ahead = websocket ? websocket_header_bytes(frame_bytes) : 0;
  const size_t header = write_header(bytes + ahead, connection, op, length);
  if (length > 0) memcpy(bytes + ahead + header, body, length);
  if (websocket) websocket_seal(bytes, BINARY, frame_bytes);
  send_bytes(connection, bytes, ahead + frame_bytes);
}

void send_auth(Connection *connection) {
  char token[MAX_BODY_BYTES];
  send_frame(connection, 7, token, plan_token(token, sizeof token, connection->index));
}
