/* The answers: JSON lines on stdout, kept until it takes them, so that a slow reader of them never holds up the loop. */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char *out;
static size_t out_bytes, out_room;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...) {
  va_list arguments;
  if (out_room - out_bytes < 512) {
    out_room = out_room * 2 + 4096;
    out = realloc(out, out_room);
    if (!out) exit(1);
  }
  va_start(arguments, format);
  out_bytes += (size_t)vsnprintf(out + out_bytes, out_room - out_bytes, format, arguments);
  va_end(arguments);
}

static void add_counts(const char *name, const Histogram *histogram) {
  const char *comma = "";
  add("\"%s\":[", name);
  for (size_t i = 0; i < HISTOGRAM_COUNTS; i += 1) {
    if (histogram->counts[i] == 0) continue;
    const size_t shift = i < 2048 ? 0 : i / 1024 - 1;
    add("%s[%" PRIu64 ",%" PRIu64 "]", comma, (uint64_t)(i - shift * 1024) << shift, histogram->counts[i]);
    comma = ",";
  }
  add("]");
}

static void add_reasons(const char *name, const Reasons *reasons) {
  add("\"%s\":[", name);
  for (int i = 0; i < reasons->length; i += 1)
    add("%s[\"%s\",%" PRIu64 "]", i ? "," : "", reasons->names[i], reasons->counts[i]);
  add("]");
}

void report_ready(void) { add("{\"is\":\"ready\"}\n"); }

void report_fault(const char *text) { add("{\"is\":\"fault\",\"text\":\"%s\"}\n", text); }

void report_dropped(void) { add("{\"is\":\"dropped\"}\n"); }

void report_round(const Round *round) {
  add("{\"is\":\"connected\",\"connected\":%u,\"beganNs\":\"%" PRIu64 "\",\"endedNs\":\"%" PRIu64 "\",", round->connected,
      round->began_ns, round->ended_ns);
  add_reasons("failed", &round->failed);
  add(",");
  add_reasons("retried", &round->retried);
  add(",");
  add_counts("latency", &round->latency);
  add("}\n");
}

static double cpu_ms(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

void report_sample(void) {
  const uint64_t last_at_ns = sample.last_at_ns;
  add("{\"is\":\"sample\",\"delivered\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"outOfOrder\":%" PRIu64 ",\"repeated\":%" PRIu64,
      sample.delivered, sample.bytes, sample.out_of_order, sample.repeated);
  add(",\"missing\":%" PRId64 ",\"strays\":%" PRIu64 ",\"foreign\":%" PRIu64 ",\"heartbeats\":%" PRIu64, sample.missing,
      sample.strays, sample.foreign, sample.heartbeats);
  add(",\"open\":%u,\"cpuMs\":%.3f,\"lastAtNs\":\"%" PRIu64 "\",", connections_open(), cpu_ms(), last_at_ns);
  add_reasons("closed", &sample.closed);
  add(",");
  add_counts("latency", &sample.latency);
  add("}\n");
  memset(&sample, 0, sizeof sample);
  sample.last_at_ns = last_at_ns;
}

bool report_flush(void) {
  if (out_bytes == 0) return false;
  const ssize_t written = write(STDOUT_FILENO, out, out_bytes);
  /* Nobody is left to read it. */
  if (written < 0 && errno != EAGAIN && errno != EINTR) exit(0);
  if (written > 0) {
    out_bytes -= (size_t)written;
    memmove(out, out + written, out_bytes);
  }
  return out_bytes > 0;
}
