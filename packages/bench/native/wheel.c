/*
 * One timer for each connection, in the slots of a wheel: to set and to clear one costs the same however many there are. A
 * timer of later rounds stays in its slot until its round has come.
 */
#include "load.h"

#define TICK_NS (10 * NS_PER_MS)
#define SLOTS 1024

static Connection *slots[SLOTS];
static uint64_t turned_tick;

void wheel_clear(Connection *connection) {
  if (!connection->timer_at) return;
  *connection->timer_at = connection->timer_next;
  if (connection->timer_next) connection->timer_next->timer_at = connection->timer_at;
  connection->timer_at = NULL;
  connection->timer_next = NULL;
}

void wheel_set(Connection *connection, uint64_t due_ns) {
  wheel_clear(connection);
  const uint64_t tick = due_ns / TICK_NS + 1;
  connection->timer_tick = tick > turned_tick ? tick : turned_tick + 1;
  Connection **slot = &slots[connection->timer_tick % SLOTS];
  connection->timer_next = *slot;
  if (*slot) (*slot)->timer_at = &connection->timer_next;
  *slot = connection;
  connection->timer_at = slot;
}

/* Due ones are taken out of the slot first: a timer that fires may set itself again. */
static void turn_slot(uint64_t tick, uint64_t now_ns) {
  Connection *due = NULL;
  Connection *next;
  for (Connection *at = slots[tick % SLOTS]; at; at = next) {
    next = at->timer_next;
    if (at->timer_tick > tick) continue;
    wheel_clear(at);
    at->timer_next = due;
    due = at;
  }
  for (; due; due = next) {
    next = due->timer_next;
    due->timer_next = NULL;
    connection_timer(due, now_ns);
  }
}

void wheel_turn(uint64_t now_ns) {
  const uint64_t now_tick = now_ns / TICK_NS;
  if (turned_tick == 0) turned_tick = now_tick;
  /* Whatever the pause was, one round passes every slot. */
  uint64_t tick = now_tick - turned_tick > SLOTS ? now_tick - SLOTS : turned_tick;
  while (tick < now_tick) {
    tick += 1;
    turned_tick = tick;
    turn_slot(tick, now_ns);
  }
}
