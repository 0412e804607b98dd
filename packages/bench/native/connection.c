/* The life of a connection: attempts, authentication, timers, its end. */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_ATTEMPTS 8
#define FIRST_PAUSE_NS (50 * NS_PER_MS)
#define HANDSHAKE_NS (20 * NS_PER_S)
/* Begun in one turn of the loop at most, so that what comes meanwhile is read. */
#define BEGUN_AT_ONCE 64
/* Events behind which there is no other. */
#define ENDS (EPOLLERR | EPOLLHUP | EPOLLRDHUP)
/* Descriptors that are not connections: the three standard ones, epoll's, and what was inherited. */
#define OTHER_DESCRIPTORS 32

int epoll;

static Connection *connections;
static uint32_t open_count;

/* The call of connections_connect under way. */
static struct {
  bool running;
  Round report;
  uint32_t next;      /* of `connections`: what lies before was begun */
  uint32_t begun;     /* first attempts */
  uint32_t under_way; /* attempts */
  uint32_t left;      /* connections that are neither open nor given up */
  Connection **again; /* a ring of those whose pause is over */
  uint32_t again_from, again_count;
} round;

static const struct {
  int error;
  const char *name;
} ERROR_NAMES[] = {
    {ECONNREFUSED, "refused"},     {ECONNRESET, "reset"},         {EPIPE, "reset"},
    {ETIMEDOUT, "timeout"},        {EADDRNOTAVAIL, "no_port"},    {EADDRINUSE, "no_port"},
    {ENETUNREACH, "unreachable"},  {EHOSTUNREACH, "unreachable"}, {EMFILE, "no_descriptor"},
    {ENFILE, "no_descriptor"},     {EAGAIN, "no_port"},
};

static const char *error_name(int error) {
  static char other[REASON_BYTES];
  for (size_t i = 0; i < sizeof ERROR_NAMES / sizeof *ERROR_NAMES; i += 1) {
    if (ERROR_NAMES[i].error == error) return ERROR_NAMES[i].name;
  }
  snprintf(other, sizeof other, "errno_%d", error);
  return other;
}

/* Whether another attempt may end otherwise: not after a refusal that is final, and not with what is no server of ours. */
static bool is_passing(const char *reason) {
  if (strncmp(reason, "code_", 5) == 0) return atoi(reason + 5) < 3500;
  if (strncmp(reason, "http_", 5) == 0) return atoi(reason + 5) >= 500;
  return strncmp(reason, "bad_", 4) != 0 && strcmp(reason, "version_1") != 0;
}

const char *connections_make(void) {
  static char fault[160];
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (plan.connections + OTHER_DESCRIPTORS > limit.rlim_max) {
    snprintf(fault, sizeof fault,
             "connections: %u in one process, which may have %llu descriptors; give it more processes",
             plan.connections, (unsigned long long)limit.rlim_max);
    return fault;
  }
  connections = calloc(plan.connections + 1, sizeof *connections);
  round.again = calloc(plan.connections + 1, sizeof *round.again);
  if (!connections || !round.again) return "connections: out of memory";
  for (uint32_t i = 0; i < plan.connections; i += 1) {
    connections[i].fd = -1;
    connections[i].index = plan.first + i;
  }
  return NULL;
}

uint32_t connections_open(void) { return open_count; }

const Address *connection_address(const Connection *connection) {
  return &plan.addresses[connection->index % (uint32_t)plan.address_count];
}

/* Told once of what comes: else the kernel would look again at each socket that was read. */
static void watch(Connection *connection, int operation, uint32_t events) {
  struct epoll_event event = {.events = events | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
  epoll_ctl(epoll, operation, connection->fd, &event);
  connection->watching_writes = (events & EPOLLOUT) != 0;
}

/* Begins an attempt; 0, or why it can't. */
static int open_socket(Connection *connection) {
  const Address *address = connection_address(connection);
  const int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (fd < 0) return errno;
  connection->fd = fd;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (plan.source_count > 0) {
    const Address *source = &plan.sources[connection->index % (uint32_t)plan.source_count];
    /* The port is chosen when the other end is known: else all to all servers would have to share the ports. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&source->at, source->at_bytes) < 0) return errno;
  }
  if (connect(fd, (const struct sockaddr *)&address->at, address->at_bytes) < 0 && errno != EINPROGRESS) return errno;
  watch(connection, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
  return 0;
}

static void begin(Connection *connection, uint64_t now_ns) {
  connection->state = CONNECTING;
  connection->attempts += 1;
  connection->code = 0;
  connection->long_header = false;
  round.under_way += 1;
  const int error = open_socket(connection);
  if (error != 0) connection_lose(connection, error_name(error));
  else wheel_set(connection, now_ns + HANDSHAKE_NS);
}

static void begin_first(Connection *connection, uint64_t now_ns) {
  connection->attempts = 0;
  connection->began_ns = now_ns;
  tracks_reset(connection->tracks);
  memset(connection->unacked, 0, sizeof connection->unacked);
  round.begun += 1;
  begin(connection, now_ns);
}

static void finish_round(void) {
  round.running = false;
  round.report.ended_ns = clock_ns();
  report_round(&round.report);
}

void connections_connect(void) {
  memset(&round.report, 0, sizeof round.report);
  round.report.began_ns = clock_ns();
  round.next = 0;
  round.begun = 0;
  round.under_way = 0;
  round.again_count = 0;
  round.left = plan.connections - open_count;
  round.running = true;
  if (round.left == 0) finish_round();
}

/* The next connection to begin, NULL when none is due. */
static Connection *next_due(uint64_t now_ns) {
  while (round.next < plan.connections && connections[round.next].state != IDLE) round.next += 1;
  if (round.next == plan.connections) return NULL;
  const double seconds = (double)(now_ns - round.report.began_ns) / (double)NS_PER_S;
  if (plan.per_second > 0 && (double)round.begun > seconds * plan.per_second) return NULL;
  return &connections[round.next++];
}

bool connections_begin_more(uint64_t now_ns) {
  if (!round.running) return false;
  for (int budget = BEGUN_AT_ONCE; budget > 0 && round.under_way < plan.at_once; budget -= 1) {
    if (round.again_count > 0) {
      Connection *again = round.again[round.again_from];
      round.again_from = (round.again_from + 1) % (plan.connections + 1);
      round.again_count -= 1;
      begin(again, now_ns);
      continue;
    }
    Connection *first = next_due(now_ns);
    if (!first) break;
    begin_first(first, now_ns);
  }
  return round.running;
}

/* What the socket and its parsers held. */
static void release(Connection *connection) {
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  if (connection->fd >= 0) {
    /* No TIME_WAIT: the ports are needed again at once. */
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(connection->fd);
  }
  connection->fd = -1;
  wheel_clear(connection);
  free(connection->held);
  free(connection->message);
  free(connection->unsent);
  connection->held = connection->message = connection->unsent = NULL;
  connection->held_bytes = connection->held_room = connection->message_bytes = connection->unsent_bytes = 0;
}

static void settle(Connection *connection, const char *failure) {
  connection->state = failure ? IDLE : OPEN;
  if (failure) reasons_add(&round.report.failed, failure);
  round.left -= 1;
  if (round.left == 0) finish_round();
}

void connection_lose(Connection *connection, const char *reason) {
  const State state = connection->state;
  release(connection);
  connection->state = IDLE;
  if (state == OPEN) {
    open_count -= 1;
    reasons_add(&sample.closed, reason);
    /* It is connected again by the call under way, if that has not come past it. */
    if (round.running && connection >= connections + round.next) round.left += 1;
  } else if (state != IDLE) {
    if (state != WAITING) round.under_way -= 1;
    if (!is_passing(reason) || connection->attempts >= MAX_ATTEMPTS) {
      settle(connection, reason);
      return;
    }
    reasons_add(&round.report.retried, reason);
    connection->state = WAITING;
    const uint64_t pause_ns = FIRST_PAUSE_NS << (connection->attempts - 1);
    wheel_set(connection, clock_ns() + pause_ns / 2 + random_u64() % (pause_ns / 2));
  }
}

void connection_end(Connection *connection, const char *otherwise) {
  char name[REASON_BYTES];
  if (connection->code == 0) {
    connection_lose(connection, otherwise);
    return;
  }
  snprintf(name, sizeof name, "code_%u", connection->code);
  connection_lose(connection, name);
}

void connections_drop(void) {
  for (uint32_t i = 0; i < plan.connections; i += 1) {
    Connection *connection = &connections[i];
    const State state = connection->state;
    release(connection);
    connection->state = IDLE;
    if (state != IDLE && state != OPEN) reasons_add(&round.report.failed, "dropped");
  }
  open_count = 0;
  if (round.running) finish_round();
}

void connection_opened(Connection *connection, uint64_t now_ns) {
  round.under_way -= 1;
  round.report.connected += 1;
  histogram_record(&round.report.latency, now_ns - connection->began_ns);
  open_count += 1;
  connection->ack_ns = 0;
  connection->heartbeat_ns = 0;
  wheel_clear(connection);
  if (plan.heartbeat_ns > 0) {
    /* Anywhere in the first interval: who opened together does not beat together. */
    connection->heartbeat_ns = now_ns + random_u64() % plan.heartbeat_ns;
    wheel_set(connection, connection->heartbeat_ns);
  }
  settle(connection, NULL);
}

void connection_wake_at(Connection *connection, uint64_t ns) {
  connection->ack_ns = ns;
  if (connection->heartbeat_ns == 0 || ns < connection->heartbeat_ns) wheel_set(connection, ns);
}

static void open_timer(Connection *connection, uint64_t now_ns) {
  if (connection->ack_ns != 0 && connection->ack_ns <= now_ns) send_acks(connection);
  if (connection->fd >= 0 && connection->heartbeat_ns != 0 && connection->heartbeat_ns <= now_ns) {
    connection->heartbeat_ns += plan.heartbeat_ns;
    send_frame(connection, 2, NULL, 0);
  }
  if (connection->fd < 0) return;
  uint64_t due_ns = connection->heartbeat_ns;
  if (connection->ack_ns != 0 && (due_ns == 0 || connection->ack_ns < due_ns)) due_ns = connection->ack_ns;
  if (due_ns != 0) wheel_set(connection, due_ns);
}

void connection_timer(Connection *connection, uint64_t now_ns) {
  if (connection->state == OPEN) {
    open_timer(connection, now_ns);
  } else if (connection->state == WAITING) {
    const uint32_t to = (round.again_from + round.again_count) % (plan.connections + 1);
    round.again[to] = connection;
    round.again_count += 1;
  } else if (connection->state != IDLE) {
    connection_lose(connection, "timeout");
  }
}

static void connected(Connection *connection) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    connection_lose(connection, error_name(error));
    return;
  }
  watch(connection, EPOLL_CTL_MOD, EPOLLIN);
  if (connection_address(connection)->websocket) {
    connection->state = UPGRADING;
    send_upgrade(connection);
  } else {
    connection->state = AUTHENTICATING;
    send_auth(connection);
  }
}

void connection_event(Connection *connection, uint32_t events) {
  if (connection->fd < 0) return;
  if (connection->state == CONNECTING) {
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) connected(connection);
    return;
  }
  if (events & EPOLLOUT) send_unsent(connection);
  if (connection->fd < 0 || !(events & (EPOLLIN | ENDS))) return;
  if (!connection_read(connection, (events & ENDS) != 0)) return;
  /* Asked for again, it is told again. */
  watch(connection, EPOLL_CTL_MOD, EPOLLIN | (connection->watching_writes ? EPOLLOUT : 0));
}

void connection_wants_writes(Connection *connection, bool wanted) {
  if (connection->watching_writes != wanted) watch(connection, EPOLL_CTL_MOD, EPOLLIN | (wanted ? EPOLLOUT : 0));
}

void connection_fail(Connection *connection, int error) { connection_end(connection, error_name(error)); }
