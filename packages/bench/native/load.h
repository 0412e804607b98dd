/*
 * The receiving side of a load: one process, one epoll loop, no threads. Driven by JSON lines on stdin, answered on stdout;
 * src/load/lines.ts has the lines. It must never be slower than what it measures: a read takes whatever is there into one
 * buffer that all connections share, frames are judged where they lie, and nothing is allocated for a message.
 */
#ifndef HALLEY_LOAD_H
#define HALLEY_LOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* ---- clock.c ---- */

/* CLOCK_MONOTONIC, the clock of process.hrtime.bigint(): one for all processes of a host. */
uint64_t clock_ns(void);
uint64_t random_u64(void);

/* ---- big-endian numbers ---- */

static inline uint16_t read_u16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint32_t read_u32(const uint8_t *at) {
  uint32_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}

static inline uint64_t read_u64(const uint8_t *at) {
  uint64_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return __builtin_bswap64(value);
}

static inline void write_u16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static inline void write_u32(uint8_t *at, uint32_t value) {
  value = __builtin_bswap32(value);
  __builtin_memcpy(at, &value, sizeof value);
}

/* ---- plan.c ---- */

#define MAX_ADDRESSES 256
#define MAX_ACCEPTS 64
#define MAX_NAME 128

/* Where connections go, or come from. */
typedef struct {
  struct sockaddr_storage at;
  socklen_t at_bytes;
  bool websocket;
  char host[MAX_NAME]; /* with the port: the Host header */
  char path[MAX_NAME];
} Address;

typedef struct {
  bool there;
  int version;
  Address addresses[MAX_ADDRESSES];
  int address_count;
  Address sources[MAX_ADDRESSES];
  int source_count;
  uint32_t first;       /* index, in the whole load, of this process' first connection */
  uint32_t connections; /* of this process */
  int64_t first_mid;
  uint32_t rooms;
  char room_type[MAX_NAME];
  char key_prefix[MAX_NAME];
  int32_t accepts[MAX_ACCEPTS];
  int accept_count;
  double per_second; /* 0: as fast as it goes */
  uint32_t at_once;
  uint64_t heartbeat_ns; /* 0: never */
  uint64_t run;
  char websocket_key[64]; /* both made by who sends the plan: they need a SHA-1 */
  char websocket_accept[64];
} Plan;

extern Plan plan;

/* What a line asks for, or NULL where it is no line of ours. The text is a static one. */
const char *line_command(const char *line);
/* Reads the plan; NULL, or what is wrong with it, with the field's name. */
const char *plan_read(const char *line);
/* The body of operation 7 of connection i of the whole load; its length. */
size_t plan_token(char *out, size_t room, uint32_t connection);

/* ---- stats.c ---- */

#define HISTOGRAM_COUNTS (27 * 1024)

/*
 * Counts of nanoseconds, up to 60 s, exact to three digits: the buckets of HdrHistogram (2,048 of one, then 1,024 of each
 * power of two), so that the other side takes them over without loss.
 */
typedef struct {
  uint64_t counts[HISTOGRAM_COUNTS];
} Histogram;

void histogram_record(Histogram *histogram, uint64_t ns);

#define MAX_REASONS 64
#define REASON_BYTES 32

typedef struct {
  char names[MAX_REASONS][REASON_BYTES];
  uint64_t counts[MAX_REASONS];
  int length;
} Reasons;

void reasons_add(Reasons *reasons, const char *name);

/* What a connection has seen of one sender: bounded, whatever comes. */
typedef struct {
  uint64_t first;
  uint64_t newest; /* 0: nothing yet */
  uint64_t seen;   /* bit i: newest - 1 - i came */
} Track;

enum { KIND_ROOM, KIND_EVERYONE, KIND_USER, KINDS };

typedef struct {
  uint64_t delivered, bytes, out_of_order, repeated, strays, foreign, heartbeats, last_at_ns;
  int64_t missing;
  Histogram latency;
  Reasons closed;
} Sample;

extern Sample sample;

/* Takes one body: counts it, its age at `now_ns`, and its place in its sender's sequence. */
void take_message(Track tracks[KINDS], uint32_t connection, const uint8_t *body, size_t length, uint64_t now_ns);
/* What lies ahead of what comes now is nothing to this connection. */
void tracks_reset(Track tracks[KINDS]);

/* ---- connection.c ---- */

typedef enum { IDLE, WAITING, CONNECTING, UPGRADING, AUTHENTICATING, OPEN } State;

/* How far one stream of version 2 has come. */
typedef struct {
  int64_t through;
  uint32_t entries, bytes; /* since the last acknowledgement */
  uint8_t epoch;           /* an index of `epochs` */
  bool due;
} Unacked;

typedef struct Connection {
  int fd; /* -1: none */
  uint32_t index; /* in the whole load */
  State state;
  uint8_t attempts;
  bool long_header, watching_writes;
  uint16_t code; /* a close code that was told ahead of the end; 0 is none */
  uint64_t began_ns, heartbeat_ns, ack_ns;
  uint8_t *held; /* what came of a frame that is not whole */
  uint32_t held_bytes, held_room;
  uint8_t *message; /* the parts of a WebSocket message in fragments */
  uint32_t message_bytes;
  uint8_t *unsent;
  uint32_t unsent_bytes;
  Track tracks[KINDS];
  Unacked unacked[KINDS];
  struct Connection *timer_next, **timer_at; /* timer_at NULL: no timer */
  uint64_t timer_tick;
} Connection;

/* The loop's epoll. */
extern int epoll;

const char *connections_make(void);
/* Connects whatever is not open; the answer is written when each is open or given up. */
void connections_connect(void);
/* Begins what is due; whether more is to begin soon. */
bool connections_begin_more(uint64_t now_ns);
void connections_drop(void);
uint32_t connections_open(void);
void connection_event(Connection *connection, uint32_t events);
void connection_timer(Connection *connection, uint64_t now_ns);
/* Its auth was answered. */
void connection_opened(Connection *connection, uint64_t now_ns);
/* Ends it, whatever it was about; counted under this reason. */
void connection_lose(Connection *connection, const char *reason);
/* The same with the close code that was told, if any, else `otherwise`. */
void connection_end(Connection *connection, const char *otherwise);
/* The same with what the system said. */
void connection_fail(Connection *connection, int error);
void connection_wants_writes(Connection *connection, bool wanted);
/* Acknowledges at this time, if not before. */
void connection_wake_at(Connection *connection, uint64_t ns);
const Address *connection_address(const Connection *connection);

/* ---- read.c, websocket.c, deliver.c ---- */

/* Frames, and messages in fragments, above this are faults. */
#define MAX_FRAME_BYTES (64u << 20)

/* Reads what is there, to the end where `ends` says that there is one; whether it stopped before, for the others' sake. */
bool connection_read(Connection *connection, bool ends);
/* Takes the whole frames at the start of `bytes`; how many bytes they are. Loses the connection on a fault. */
size_t take_frames(Connection *connection, const uint8_t *bytes, size_t length, uint64_t now_ns, int depth);
/* The same of WebSocket frames. */
size_t take_websocket(Connection *connection, const uint8_t *bytes, size_t length, uint64_t now_ns);
/* Takes the answer to the upgrade once it is whole, and sends the auth. */
size_t take_upgrade(Connection *connection, const uint8_t *bytes, size_t length);
void send_upgrade(Connection *connection);
/* Where a client's WebSocket message of `length` bytes begins behind its header: 6, 8 or 14. */
size_t websocket_header_bytes(size_t length);
/* Writes the header at `at` and masks the payload behind it. */
void websocket_seal(uint8_t *at, uint8_t opcode, size_t length);

/* Takes the body of 20; false where it is malformed. */
bool take_deliver(Connection *connection, const uint8_t *body, size_t length, uint64_t now_ns);
/* Takes the body of 8 of version 2; false where it is malformed. */
bool take_auth_reply(const uint8_t *body, size_t length);
/* The close code of the body of 30; 0 where it has none. */
uint16_t read_close_code(const uint8_t *body, size_t length);
void send_acks(Connection *connection);

/* ---- send.c ---- */

/* Sends a frame, on WebSocket as a message; what the socket does not take waits, up to 64 KB. */
void send_frame(Connection *connection, int32_t op, const void *body, size_t length);
void send_auth(Connection *connection);
/* Sends bytes as they are. */
void send_bytes(Connection *connection, const uint8_t *bytes, size_t length);
void send_unsent(Connection *connection);

/* ---- wheel.c ---- */

void wheel_set(Connection *connection, uint64_t due_ns);
void wheel_clear(Connection *connection);
/* Calls connection_timer for all that is due. */
void wheel_turn(uint64_t now_ns);

/* ---- report.c ---- */

typedef struct {
  uint32_t connected;
  uint64_t began_ns, ended_ns;
  Histogram latency;
  Reasons failed, retried;
} Round;

void report_ready(void);
void report_fault(const char *text);
void report_dropped(void);
void report_round(const Round *round);
/* Writes the sample and begins the next. */
void report_sample(void);
/* Writes what stdout takes; whether more is left. */
bool report_flush(void);

#endif
