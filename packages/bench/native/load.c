/* The loop: what comes from the connections, what is due, and the lines that say what to do. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 1024
#define MAX_LINE_BYTES (64u << 10)
/* While connections are to be begun, and else: a timer is at most so late. */
#define BUSY_WAIT_MS 1
#define IDLE_WAIT_MS 10
#define REST_NS (NS_PER_MS / 10)

static char line[MAX_LINE_BYTES + 1];
static size_t line_bytes;
static bool writing;

/* Does what a line says; false ends the process. */
static bool obey(const char *text) {
  const char *command = line_command(text);
  const char *wrong = NULL;
  if (!command) wrong = "do: a line says what to do";
  else if (strcmp(command, "stop") == 0) return false;
  else if (strcmp(command, "plan") == 0 && !plan.there) {
    wrong = plan_read(text);
    if (!wrong) wrong = connections_make();
    if (!wrong) report_ready();
  } else if (!plan.there) wrong = "do: the plan comes first, and once";
  else if (strcmp(command, "connect") == 0) connections_connect();
  else if (strcmp(command, "sample") == 0) report_sample();
  else if (strcmp(command, "drop") == 0) {
    connections_drop();
    report_dropped();
  } else wrong = "do: plan once, then connect, sample, drop, stop";
  if (wrong) report_fault(wrong);
  return true;
}

/* Reads lines and does what they say; false ends the process, as does the end of them. */
static bool read_lines(void) {
  const ssize_t got = read(STDIN_FILENO, line + line_bytes, MAX_LINE_BYTES - line_bytes);
  if (got == 0) return false;
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  line_bytes += (size_t)got;
  char *from = line;
  for (char *end; (end = memchr(from, '\n', line_bytes - (size_t)(from - line))); from = end + 1) {
    *end = '\0';
    if (!obey(from)) return false;
  }
  line_bytes -= (size_t)(from - line);
  memmove(line, from, line_bytes);
  return line_bytes < MAX_LINE_BYTES;
}

/* Writes the answers; what stdout does not take now is written when it can. */
static void write_lines(void) {
  const bool more = report_flush();
  if (more == writing) return;
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = &writing};
  epoll_ctl(epoll, more ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, STDOUT_FILENO, &event);
  writing = more;
}

/*
 * Under a stream of single messages the loop would go to sleep behind each, and each send of the other side would pay for
 * waking it: about as much as the send itself. So it rests where it was woken twice within REST_NS, then reads what came
 * meanwhile together. What comes less often is read at once.
 */
static void rest(void) {
  static uint64_t woken_ns;
  const struct timespec pause = {.tv_nsec = REST_NS};
  if (clock_ns() - woken_ns < REST_NS) nanosleep(&pause, NULL);
  woken_ns = clock_ns();
}

/* One turn; false ends the process. */
static bool turn(int wait_ms) {
  static struct epoll_event events[EVENTS];
  bool lines = false;
  const int count = epoll_wait(epoll, events, EVENTS, wait_ms);
  if (count > 0 && count < EVENTS / 4) rest();
  for (int i = 0; i < count; i += 1) {
    if (events[i].data.ptr == line) lines = true;
    else if (events[i].data.ptr != &writing) connection_event(events[i].data.ptr, events[i].events);
  }
  wheel_turn(clock_ns());
  /* Behind the messages: a sample has all that was there to be read. */
  return !lines || read_lines();
}

int main(void) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};
  signal(SIGPIPE, SIG_IGN);
  /* The terminal's interrupt goes to all; who started this one ends it by closing stdin. */
  signal(SIGINT, SIG_IGN);
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0) return 1;
  /* Else a rest would be half as long again. */
  prctl(PR_SET_TIMERSLACK, 1000);
  wheel_turn(clock_ns());
  int wait_ms = IDLE_WAIT_MS;
  while (turn(wait_ms)) {
    wait_ms = connections_begin_more(clock_ns()) ? BUSY_WAIT_MS : IDLE_WAIT_MS;
    write_lines();
  }
  connections_drop();
  return 0;
}
