/*
 * What the kernel itself takes: connections, and a loop of send(2) of one frame to each. Nothing less can be spent on a room
 * whose members each have a socket, so `halley bench limit` holds a server against it, in the same run.
 *
 * limit [PORT]     listens on 127.0.0.1, on any port by default, and says {"listening":PORT}.
 * On stdin, a line each, answered by a line of JSON:
 *   connections    how many are authenticated: whoever sends operation 7 is
 *   run PASSES_PER_SECOND MILLISECONDS BATCH RUN BODY_BYTES OPERATION
 *                  passes over all connections, in each BATCH frames in one send; 0 passes a second: one upon the other.
 *                  CPU is of the sends alone, and of what the kernel does in them; pass_ns is how long the passes lasted.
 * It ends when stdin does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 262144
#define HEADER_BYTES 16
#define STAMP_BYTES 32
#define STAMP_MAGIC 0x48424e31u
#define MAX_AUTH_BYTES 4112
#define MAX_BATCH 1024
#define MAX_BODY_BYTES 65536
#define OP_AUTH 7
#define OP_AUTH_REPLY 8
#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

struct plan {
  uint64_t passes_per_second; /* 0: one upon the other */
  uint64_t duration_ms;
  uint32_t batch;
  uint64_t run;
  uint32_t body_bytes;
  uint32_t operation;
};

struct outcome {
  uint64_t passes, sends, messages, blocked, failed, cpu_ns, pass_ns, elapsed_ns;
};

/* Descriptors of the authenticated connections, side by side: the loop touches nothing else. */
static int members[MAX_CONNECTIONS];
static uint32_t member_count;
static uint64_t sequence;

static uint64_t read_clock(clockid_t which) {
  struct timespec now;
  clock_gettime(which, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void put32(uint8_t *at, uint32_t value) {
  const uint32_t big = htobe32(value);
  memcpy(at, &big, sizeof big);
}

static void put64(uint8_t *at, uint64_t value) {
  const uint64_t big = htobe64(value);
  memcpy(at, &big, sizeof big);
}

static uint32_t get32(const uint8_t *at) {
  uint32_t big;
  memcpy(&big, at, sizeof big);
  return be32toh(big);
}

/* packLen, headerLen 16 and version 1, operation, seq. */
static void put_header(uint8_t *at, uint32_t body_bytes, uint32_t operation, uint32_t seq) {
  put32(at, HEADER_BYTES + body_bytes);
  put32(at + 4, (HEADER_BYTES << 16) | 1);
  put32(at + 8, operation);
  put32(at + 12, seq);
}

/* The frames of one pass, glued, each with the stamp that the bench's readers know. */
static size_t put_frames(uint8_t *out, const struct plan *plan, uint64_t due_ns) {
  uint8_t *at = out;
  for (uint32_t index = 0; index < plan->batch; index += 1) {
    uint8_t *body = at + HEADER_BYTES;
    put_header(at, plan->body_bytes, plan->operation, 0);
    put32(body, STAMP_MAGIC);
    put32(body + 4, 0); /* the room of index 0 */
    put64(body + 8, ++sequence);
    put64(body + 16, due_ns);
    put64(body + 24, plan->run);
    memset(body + STAMP_BYTES, 'x', plan->body_bytes - STAMP_BYTES);
    at = body + plan->body_bytes;
  }
  return (size_t)(at - out);
}

/* The rest of what a full socket took in part: a stream that is cut in a frame is of no use any more. */
static int send_rest(int descriptor, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    struct pollfd wanted = {.fd = descriptor, .events = POLLOUT};
    if (poll(&wanted, 1, 5000) <= 0) return -1;
    const ssize_t sent = send(descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent > 0) bytes += sent, length -= (size_t)sent;
  }
  return 0;
}

/* Called for a send that did not take all. Answers 0 when the connection goes on. */
static int send_slowly(int descriptor, const uint8_t *bytes, size_t length, ssize_t sent, struct outcome *outcome) {
  if (sent < 0 && errno != EAGAIN) return -1;
  outcome->blocked += 1;
  const size_t done = sent > 0 ? (size_t)sent : 0;
  return send_rest(descriptor, bytes + done, length - done);
}

static void send_to_all(const uint8_t *bytes, size_t length, struct outcome *outcome) {
  for (uint32_t index = 0; index < member_count;) {
    const ssize_t sent = send(members[index], bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent != (ssize_t)length && send_slowly(members[index], bytes, length, sent, outcome) != 0) {
      outcome->failed += 1;
      close(members[index]);
      members[index] = members[--member_count];
      continue;
    }
    index += 1;
  }
}

static void sleep_until(uint64_t at_ns) {
  const struct timespec at = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {
  }
}

static struct outcome run(const struct plan *plan) {
  struct outcome outcome = {0};
  uint8_t *frames = malloc((size_t)plan->batch * (HEADER_BYTES + plan->body_bytes));
  if (frames == NULL) fail("malloc");
  const uint64_t start_ns = read_clock(CLOCK_MONOTONIC);
  const uint64_t end_ns = start_ns + plan->duration_ms * NS_PER_MS;
  for (;;) {
    uint64_t due_ns = read_clock(CLOCK_MONOTONIC);
    if (plan->passes_per_second > 0) {
      due_ns = start_ns + outcome.passes * NS_PER_S / plan->passes_per_second;
      if (due_ns < end_ns) sleep_until(due_ns);
    }
    if (due_ns >= end_ns || member_count == 0) break;
    const size_t length = put_frames(frames, plan, due_ns);
    const uint64_t begin_ns = read_clock(CLOCK_MONOTONIC);
    const uint64_t before_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    const uint32_t members_before = member_count;
    send_to_all(frames, length, &outcome);
    outcome.pass_ns += read_clock(CLOCK_MONOTONIC) - begin_ns;
    outcome.cpu_ns += read_clock(CLOCK_PROCESS_CPUTIME_ID) - before_ns;
    outcome.passes += 1;
    outcome.sends += members_before;
    outcome.messages += (uint64_t)members_before * plan->batch;
  }
  outcome.elapsed_ns = read_clock(CLOCK_MONOTONIC) - start_ns;
  free(frames);
  return outcome;
}

static int parse_plan(const char *line, struct plan *plan) {
  const int found = sscanf(line, "run %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu64 " %" SCNu32 " %" SCNu32,
                           &plan->passes_per_second, &plan->duration_ms, &plan->batch, &plan->run,
                           &plan->body_bytes, &plan->operation);
  return found == 6 && plan->batch >= 1 && plan->batch <= MAX_BATCH && plan->body_bytes >= STAMP_BYTES &&
         plan->body_bytes <= MAX_BODY_BYTES && plan->passes_per_second <= 1000000 &&
         plan->duration_ms <= 3600000;
}

static void answer_line(const char *line) {
  struct plan plan;
  if (strncmp(line, "connections", 11) == 0) {
    printf("{\"connections\":%" PRIu32 "}\n", member_count);
  } else if (parse_plan(line, &plan)) {
    const struct outcome done = run(&plan);
    printf("{\"passes\":%" PRIu64 ",\"sends\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"blocked\":%" PRIu64
           ",\"failed\":%" PRIu64 ",\"cpuNs\":%" PRIu64
           ",\"passNs\":%" PRIu64 ",\"elapsedNs\":%" PRIu64 "}\n",
           done.passes, done.sends, done.messages, done.blocked, done.failed, done.cpu_ns, done.pass_ns, done.elapsed_ns);
  } else {
    printf("{\"error\":\"neither connections nor a run\"}\n");
  }
  fflush(stdout);
}

/* What was read, cut into lines; a longer one than the buffer ends the program. */
static void on_input(void) {
  static char text[512];
  static size_t length;
  const ssize_t got = read(STDIN_FILENO, text + length, sizeof text - length - 1);
  if (got <= 0 || length + (size_t)got == sizeof text - 1) exit(0);
  length += (size_t)got;
  text[length] = '\0';
  char *end;
  while ((end = strchr(text, '\n')) != NULL) {
    *end = '\0';
    answer_line(text);
    length -= (size_t)(end + 1 - text);
    memmove(text, end + 1, length + 1);
  }
}

static void watch(int poller, int descriptor) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
}

static void accept_all(int poller, int listener) {
  for (;;) {
    const int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return;
    const int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(poller, descriptor);
  }
}

/* The first frame is auth: answered, and from then on nothing is read of this connection any more. */
static void on_auth(int poller, int descriptor) {
  uint8_t bytes[MAX_AUTH_BYTES];
  const ssize_t there = recv(descriptor, bytes, sizeof bytes, MSG_PEEK);
  const uint32_t wanted = there >= HEADER_BYTES ? get32(bytes) : HEADER_BYTES;
  if (there > 0 && (uint32_t)there < wanted && wanted <= sizeof bytes) return;
  epoll_ctl(poller, EPOLL_CTL_DEL, descriptor, NULL);
  uint8_t reply[HEADER_BYTES];
  put_header(reply, 0, OP_AUTH_REPLY, there >= HEADER_BYTES ? get32(bytes + 12) : 0);
  if (there < HEADER_BYTES || wanted > sizeof bytes || get32(bytes + 8) != OP_AUTH ||
      recv(descriptor, bytes, wanted, 0) != (ssize_t)wanted || member_count == MAX_CONNECTIONS ||
      send(descriptor, reply, sizeof reply, MSG_NOSIGNAL) != (ssize_t)sizeof reply) {
    close(descriptor);
    return;
  }
  members[member_count++] = descriptor;
}

static int listen_on(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  if (listener < 0) fail("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 4096) != 0 ||
      getsockname(listener, (struct sockaddr *)&at, &length) != 0)
    fail("listen");
  printf("{\"listening\":%u}\n", (unsigned)ntohs(at.sin_port));
  fflush(stdout);
  return listener;
}

int main(int count, char **arguments) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) fail("epoll_create1");
  const int listener = listen_on(count > 1 ? (uint16_t)atoi(arguments[1]) : 0);
  watch(poller, listener);
  watch(poller, STDIN_FILENO);
  for (;;) {
    struct epoll_event events[256];
    const int ready = epoll_wait(poller, events, 256, -1);
    for (int index = 0; index < ready; index += 1) {
      const int descriptor = events[index].data.fd;
      if (descriptor == listener) accept_all(poller, listener);
      else if (descriptor == STDIN_FILENO) on_input();
      else on_auth(poller, descriptor);
    }
  }
}
