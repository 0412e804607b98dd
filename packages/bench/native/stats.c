/* What is counted of the messages. */
#include "load.h"

#include <stdio.h>
#include <string.h>

#define STAMP_MAGIC 0x48424e31u
#define STAMP_BYTES 32
#define KIND_SHIFT 30
#define SENDER_INDEX 0x3fffffffu
#define MAX_NS (60 * NS_PER_S)

Sample sample;

void histogram_record(Histogram *histogram, uint64_t ns) {
  if (ns < 1) ns = 1;
  if (ns > MAX_NS) ns = MAX_NS;
  const int bits = 63 - __builtin_clzll(ns);
  const int shift = bits > 10 ? bits - 10 : 0;
  histogram->counts[(size_t)shift * 1024 + (ns >> shift)] += 1;
}

void reasons_add(Reasons *reasons, const char *name) {
  int i = 0;
  while (i < reasons->length && strcmp(reasons->names[i], name) != 0) i += 1;
  if (i == reasons->length) {
    /* The last place takes all that there is no room for. */
    if (i == MAX_REASONS - 1) name = "other";
    if (i < MAX_REASONS) snprintf(reasons->names[reasons->length++], REASON_BYTES, "%s", name);
    else i = MAX_REASONS - 1;
  }
  reasons->counts[i] += 1;
}

void tracks_reset(Track tracks[KINDS]) { memset(tracks, 0, KINDS * sizeof *tracks); }

/* `missing` stays what lies between the first and the newest of a sender, without those that came. */
static void track(Track *track, uint64_t sequence) {
  if (track->newest == 0) {
    track->first = sequence;
    track->newest = sequence;
    return;
  }
  if (sequence > track->newest) {
    const uint64_t step = sequence - track->newest;
    sample.missing += (int64_t)(step - 1);
    track->seen = step < 64 ? track->seen << step : 0;
    if (step <= 64) track->seen |= UINT64_C(1) << (step - 1);
    track->newest = sequence;
    return;
  }
  const uint64_t behind = track->newest - sequence;
  const uint64_t bit = behind >= 1 && behind <= 64 ? UINT64_C(1) << (behind - 1) : 0;
  if (bit == 0 || track->seen & bit) {
    sample.repeated += 1;
    return;
  }
  track->seen |= bit;
  sample.out_of_order += 1;
  if (sequence > track->first) {
    sample.missing -= 1;
  } else {
    sample.missing += (int64_t)(track->first - sequence - 1);
    track->first = sequence;
  }
}

/* Whether messages of this sender are for this connection. */
static bool is_for(uint32_t connection, uint32_t kind, uint32_t index) {
  switch (kind) {
    case KIND_ROOM:
      return plan.rooms > 0 && index == connection % plan.rooms;
    case KIND_EVERYONE:
      return true;
    case KIND_USER:
      return index == connection;
    default:
      return false;
  }
}

void take_message(Track tracks[KINDS], uint32_t connection, const uint8_t *body, size_t length, uint64_t now_ns) {
  if (length < STAMP_BYTES || read_u32(body) != STAMP_MAGIC || read_u64(body + 24) != plan.run) {
    sample.foreign += 1;
    return;
  }
  const uint32_t sender = read_u32(body + 4);
  const uint32_t kind = sender >> KIND_SHIFT;
  if (!is_for(connection, kind, sender & SENDER_INDEX)) {
    sample.strays += 1;
    return;
  }
  const uint64_t intended_ns = read_u64(body + 16);
  sample.delivered += 1;
  sample.last_at_ns = now_ns;
  histogram_record(&sample.latency, now_ns > intended_ns ? now_ns - intended_ns : 0);
  track(&tracks[kind], read_u64(body + 8));
}
