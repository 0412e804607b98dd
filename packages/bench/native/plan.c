/* Reads the lines of src/load/lines.ts: one flat JSON object each, whose strings have no escapes. */
#include "load.h"

#include <ctype.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Plan plan;

static char fault[256];

static const char *wrong(const char *field, const char *why) {
  snprintf(fault, sizeof fault, "%s: %s", field, why);
  return fault;
}

/* The value of a field, NULL without one. The object is flat, and no string has a quote within. */
static const char *value_of(const char *line, const char *field) {
  char quoted[64];
  const int length = snprintf(quoted, sizeof quoted, "\"%s\":", field);
  const char *at = strstr(line, quoted);
  return at ? at + length : NULL;
}

/* Copies the string at `value`; what is behind it, or NULL where it is none or too long. */
static const char *read_string(const char *value, char *out, size_t room) {
  if (!value || *value != '"') return NULL;
  const size_t length = strcspn(value + 1, "\"\\");
  if (value[1 + length] != '"' || length >= room) return NULL;
  memcpy(out, value + 1, length);
  out[length] = '\0';
  return value + length + 2;
}

static bool field_string(const char *line, const char *field, char *out, size_t room) {
  return read_string(value_of(line, field), out, room) != NULL;
}

static bool field_double(const char *line, const char *field, double *out) {
  const char *value = value_of(line, field);
  char *end;
  if (!value) return false;
  *out = strtod(value, &end);
  return end != value;
}

static bool field_u32(const char *line, const char *field, uint32_t *out) {
  double value;
  if (!field_double(line, field, &value) || !(value >= 0 && value <= UINT32_MAX)) return false;
  *out = (uint32_t)value;
  return true;
}

/* Splits host:port, an IPv6 host in brackets; what is behind the port, or NULL. */
static const char *split_host(const char *text, char *host, size_t room, char *port) {
  const bool bracketed = *text == '[';
  const char *from = bracketed ? text + 1 : text;
  const char *end = strchr(from, bracketed ? ']' : ':');
  if (!end || (size_t)(end - from) >= room) return NULL;
  memcpy(host, from, (size_t)(end - from));
  host[end - from] = '\0';
  const char *colon = bracketed ? end + 1 : end;
  if (*colon != ':') return NULL;
  size_t digits = 0;
  while (isdigit((unsigned char)colon[1 + digits])) digits += 1;
  if (digits == 0 || digits > 5) return NULL;
  memcpy(port, colon + 1, digits);
  port[digits] = '\0';
  return colon + 1 + digits;
}

static bool resolve(Address *address, const char *host, const char *port) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found;
  if (getaddrinfo(host, port, &hints, &found) != 0) return false;
  memcpy(&address->at, found->ai_addr, found->ai_addrlen);
  address->at_bytes = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

/* tcp://host:port or ws://host:port/path, with a numeric host. */
static bool read_address(Address *address, const char *text) {
  char host[MAX_NAME], port[8];
  if (strncmp(text, "ws://", 5) == 0) address->websocket = true;
  else if (strncmp(text, "tcp://", 6) != 0) return false;
  const char *authority = strstr(text, "://") + 3;
  const char *path = split_host(authority, host, sizeof host, port);
  if (!path || !resolve(address, host, port)) return false;
  snprintf(address->host, sizeof address->host, "%.*s", (int)(path - authority), authority);
  snprintf(address->path, sizeof address->path, "%s", *path ? path : "/sub");
  return true;
}

static bool read_source(Address *address, const char *text) { return resolve(address, text, NULL); }

/* Reads a list of addresses; how many, or -1. */
static int read_list(const char *line, const char *field, Address *out, bool (*read)(Address *, const char *)) {
  const char *at = value_of(line, field);
  char text[MAX_NAME];
  if (!at || *at != '[') return -1;
  int count = 0;
  for (at += 1; *at != ']'; at += *at == ',') {
    at = read_string(at, text, sizeof text);
    if (!at || count == MAX_ADDRESSES || !read(&out[count], text)) return -1;
    count += 1;
  }
  return count;
}

static bool read_accepts(const char *line) {
  const char *at = value_of(line, "accepts");
  if (!at || *at != '[') return false;
  for (at += 1; *at != ']'; at += *at == ',') {
    char *end;
    const long op = strtol(at, &end, 10);
    if (end == at || plan.accept_count == MAX_ACCEPTS) return false;
    plan.accepts[plan.accept_count++] = (int32_t)op;
    at = end;
  }
  return true;
}

static bool read_run(const char *line) {
  char text[32];
  if (!field_string(line, "run", text, sizeof text)) return false;
  plan.run = strtoull(text, NULL, 10);
  return true;
}

const char *line_command(const char *line) {
  static char command[16];
  return field_string(line, "do", command, sizeof command) ? command : NULL;
}

const char *plan_read(const char *line) {
  double number;
  memset(&plan, 0, sizeof plan);
  plan.address_count = read_list(line, "addresses", plan.addresses, read_address);
  if (plan.address_count < 1) return wrong("addresses", "1 to 256 of tcp://address:port and ws://address:port/path");
  plan.source_count = read_list(line, "sources", plan.sources, read_source);
  if (plan.source_count < 0) return wrong("sources", "addresses of this host");
  if (!field_double(line, "version", &number) || (number != 1 && number != 2)) return wrong("version", "1 or 2");
  plan.version = (int)number;
  if (!field_u32(line, "first", &plan.first)) return wrong("first", "a count");
  if (!field_u32(line, "connections", &plan.connections)) return wrong("connections", "a count");
  if (!field_double(line, "firstMid", &number)) return wrong("firstMid", "a user");
  plan.first_mid = (int64_t)number;
  if (!field_u32(line, "rooms", &plan.rooms)) return wrong("rooms", "a count");
  if (!field_string(line, "roomType", plan.room_type, sizeof plan.room_type)) return wrong("roomType", "a text");
  if (!field_string(line, "keyPrefix", plan.key_prefix, sizeof plan.key_prefix)) return wrong("keyPrefix", "a text");
  if (!read_accepts(line)) return wrong("accepts", "at most 64 operations");
  if (!field_double(line, "perSecond", &plan.per_second)) return wrong("perSecond", "a number");
  if (!field_u32(line, "atOnce", &plan.at_once) || plan.at_once == 0) return wrong("atOnce", "1 or more");
  if (!field_double(line, "heartbeatMs", &number)) return wrong("heartbeatMs", "milliseconds");
  plan.heartbeat_ns = (uint64_t)(number * (double)NS_PER_MS);
  if (!read_run(line)) return wrong("run", "a number in quotes");
  if (!field_string(line, "websocketKey", plan.websocket_key, sizeof plan.websocket_key) ||
      !field_string(line, "websocketAccept", plan.websocket_accept, sizeof plan.websocket_accept))
    return wrong("websocketKey", "a key, and the answer to it");
  plan.there = true;
  return NULL;
}

/* Appends to a text of `*at` bytes, as far as there is room. */
__attribute__((format(printf, 4, 5))) static void append(char *out, size_t room, size_t *at, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(out + *at, room - *at, format, arguments);
  va_end(arguments);
  *at += length < 0 ? 0 : (size_t)length;
  if (*at >= room) *at = room - 1;
}

size_t plan_token(char *out, size_t room, uint32_t connection) {
  size_t at = 0;
  append(out, room, &at, "{%s\"mid\":%lld,\"key\":\"", plan.version == 2 ? "\"ver\":2,\"start\":\"newest\"," : "",
         (long long)(plan.first_mid + connection));
  if (plan.key_prefix[0]) append(out, room, &at, "%s%u", plan.key_prefix, connection);
  append(out, room, &at, "\",\"room_id\":\"");
  if (plan.rooms) append(out, room, &at, "%s://%u", plan.room_type, connection % plan.rooms);
  append(out, room, &at, "\",\"platform\":\"web\",\"accepts\":[");
  for (int i = 0; i < plan.accept_count; i += 1) append(out, room, &at, "%s%d", i ? "," : "", plan.accepts[i]);
  append(out, room, &at, "]}");
  return at;
}
