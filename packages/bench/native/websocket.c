/* RFC 6455, the client's side: the upgrade, what the server's frames hold, and the masks of ours. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

#define MAX_CONTROL_BYTES 125
#define MAX_ANSWER_BYTES 8192

size_t websocket_header_bytes(size_t length) { return length <= 125 ? 6 : length <= 0xffff ? 8 : 14; }

void websocket_seal(uint8_t *at, uint8_t opcode, size_t length) {
  const size_t header = websocket_header_bytes(length);
  at[0] = 0x80 | opcode;
  if (header == 6) {
    at[1] = (uint8_t)(0x80 | length);
  } else if (header == 8) {
    at[1] = 0x80 | 126;
    write_u16(at + 2, (uint16_t)length);
  } else {
    at[1] = 0x80 | 127;
    write_u32(at + 2, 0);
    write_u32(at + 6, (uint32_t)length);
  }
  uint8_t *mask = at + header - 4;
  write_u32(mask, (uint32_t)random_u64());
  for (size_t i = 0; i < length; i += 1) at[header + i] ^= mask[i & 3];
}

void send_upgrade(Connection *connection) {
  const Address *address = connection_address(connection);
  char request[1024];
  const int length = snprintf(request, sizeof request,
                              "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
                              address->path, address->host, plan.websocket_key);
  send_bytes(connection, (const uint8_t *)request, (size_t)length);
}

/* Whether the answer to the upgrade, ended by a zero, agrees to it; else it is lost. */
static bool agrees(Connection *connection, const char *answer) {
  char reason[REASON_BYTES];
  int status = 0;
  if (sscanf(answer, "HTTP/1.%*d %d", &status) != 1) status = 0;
  if (status != 101) {
    snprintf(reason, sizeof reason, status ? "http_%d" : "bad_upgrade", status);
    connection_lose(connection, reason);
    return false;
  }
  const char *accept = strcasestr(answer, "\r\nsec-websocket-accept:");
  if (accept) accept += sizeof "\r\nsec-websocket-accept:" - 1;
  while (accept && *accept == ' ') accept += 1;
  if (accept && strncmp(accept, plan.websocket_accept, strlen(plan.websocket_accept)) == 0) return true;
  connection_lose(connection, "bad_upgrade");
  return false;
}

size_t take_upgrade(Connection *connection, const uint8_t *bytes, size_t length) {
  char answer[MAX_ANSWER_BYTES + 1];
  const uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
  const size_t answer_bytes = end ? (size_t)(end - bytes) + 4 : length;
  if (answer_bytes > MAX_ANSWER_BYTES) {
    connection_lose(connection, "bad_upgrade");
    return 0;
  }
  if (!end) return 0;
  memcpy(answer, bytes, answer_bytes);
  answer[answer_bytes] = '\0';
  if (!agrees(connection, answer)) return 0;
  connection->state = AUTHENTICATING;
  send_auth(connection);
  return answer_bytes;
}

static void send_control(Connection *connection, uint8_t opcode, const uint8_t *payload, size_t length) {
  uint8_t bytes[6 + MAX_CONTROL_BYTES];
  memcpy(bytes + 6, payload, length);
  websocket_seal(bytes, opcode, length);
  send_bytes(connection, bytes, 6 + length);
}

static void take_control(Connection *connection, uint8_t opcode, const uint8_t *payload, size_t length) {
  if (opcode == PING) send_control(connection, PONG, payload, length);
  if (opcode != CLOSE) return;
  if (length >= 2) connection->code = read_u16(payload);
  send_control(connection, CLOSE, payload, length < 2 ? 0 : 2);
  if (connection->fd >= 0) connection_end(connection, "code_1005");
}

/* A message is whole frames. */
static void take_whole(Connection *connection, const uint8_t *payload, size_t length, uint64_t now_ns) {
  if (take_frames(connection, payload, length, now_ns, 0) != length && connection->fd >= 0)
    connection_lose(connection, "bad_frame");
}

static void take_fragment(Connection *connection, bool last, const uint8_t *payload, size_t length, uint64_t now_ns) {
  uint8_t *grown = NULL;
  if (connection->message_bytes + length <= MAX_FRAME_BYTES)
    grown = realloc(connection->message, connection->message_bytes + length + 1);
  if (!grown) {
    connection_lose(connection, "bad_frame");
    return;
  }
  connection->message = grown;
  memcpy(grown + connection->message_bytes, payload, length);
  connection->message_bytes += (uint32_t)length;
  if (!last) return;
  const size_t message_bytes = connection->message_bytes;
  connection->message = NULL;
  connection->message_bytes = 0;
  take_whole(connection, grown, message_bytes, now_ns);
  free(grown);
}

/* Takes one frame whose header was read; `kind` is its first byte. */
static void take_one(Connection *connection, uint8_t kind, const uint8_t *payload, size_t length, uint64_t now_ns) {
  const uint8_t opcode = kind & 0x0f;
  const bool last = (kind & 0x80) != 0;
  const bool control = opcode >= CLOSE && opcode <= PONG && last && length <= MAX_CONTROL_BYTES;
  const bool begins = opcode == TEXT || opcode == BINARY;
  const bool inside = connection->message != NULL;
  if ((kind & 0x70) != 0 || (!control && (begins ? inside : opcode != CONTINUATION || !inside)))
    connection_lose(connection, "bad_frame");
  else if (control) take_control(connection, opcode, payload, length);
  else if (begins && last) take_whole(connection, payload, length, now_ns);
  else take_fragment(connection, last, payload, length, now_ns);
}

size_t take_websocket(Connection *connection, const uint8_t *bytes, size_t length, uint64_t now_ns) {
  size_t at = 0;
  while (connection->fd >= 0 && length - at >= 2) {
    const uint8_t *frame = bytes + at;
    const uint8_t short_length = frame[1] & 0x7f;
    const size_t header = short_length < 126 ? 2 : short_length == 126 ? 4 : 10;
    if (frame[1] & 0x80) {
      connection_lose(connection, "bad_frame");
      return 0;
    }
    if (length - at < header) break;
    const uint64_t payload = header == 2 ? short_length : header == 4 ? read_u16(frame + 2) : read_u64(frame + 2);
    if (payload > MAX_FRAME_BYTES) {
      connection_lose(connection, "bad_frame");
      return 0;
    }
    if (length - at - header < payload) break;
    take_one(connection, frame[0], frame + header, payload, now_ns);
    at += header + payload;
  }
  return at;
}
