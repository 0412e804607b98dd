/*
 * Loops of send(2) over descriptors, for comet: one message to many sockets, and one each to many. And what malloc has
 * spare.
 *
 * sendAll(slots, from, to, descriptors, states, messages, counts, left) -> how many stand in `left`
 *   slots        Int32Array: the members, by the slot of their connection; [from, to) of them are served
 *   descriptors  Int32Array by slot: the socket
 *   states       Uint8Array by slot: 0 is not to be written to here, else 1 + the place of its message in `messages`
 *   messages     array of at most 255 Uint8Array or undefined
 *   counts       Int32Array by the message's place: how many got it whole
 *   left         Int32Array of pairs: an index into `slots` that was not served whole, and how many bytes went
 *
 * sendEach(slots, which, count, descriptors, messages, left) -> how many stand in `left`
 *   for each i below count: messages[which[i]] to the socket of slots[i]; `left` as above, by i
 *
 * giveBack() -> whether malloc gave free memory back to the system; false where it cannot be told to
 *
 * Only for the main thread, only for sockets of which nothing waits to be written and whose descriptor is theirs: whoever
 * keeps the states sees to that. Nothing is thrown for a socket: its next write in the ordinary way tells what is wrong.
 */
#include <errno.h>
#include <features.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ARGUMENTS = 8, EACH_ARGUMENTS = 6, MESSAGES = 255 };

struct bytes {
  const uint8_t *data;
  size_t length;
};

static napi_value refuse(napi_env env, const char *what) {
  napi_throw_type_error(env, NULL, what);
  return NULL;
}

/* The elements of a typed array of this type; false for any other value. */
static bool elements(napi_env env, napi_value value, napi_typedarray_type wanted, void **data, size_t *length) {
  bool is_typed = false;
  napi_typedarray_type type;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed) return false;
  if (napi_get_typedarray_info(env, value, &type, length, data, NULL, NULL) != napi_ok) return false;
  return type == wanted;
}

/* Reads up to MESSAGES messages; those that are undefined have no data. */
static bool read_messages(napi_env env, napi_value array, struct bytes messages[MESSAGES], uint32_t *count) {
  if (napi_get_array_length(env, array, count) != napi_ok || *count > MESSAGES) return false;
  for (uint32_t place = 0; place < *count; place += 1) {
    messages[place].data = NULL;
    messages[place].length = 0;
    napi_value element;
    napi_valuetype type;
    void *data = NULL;
    if (napi_get_element(env, array, place, &element) != napi_ok) return false;
    if (napi_typeof(env, element, &type) != napi_ok) return false;
    if (type == napi_undefined) continue;
    if (!elements(env, element, napi_uint8_array, &data, &messages[place].length)) return false;
    messages[place].data = data;
  }
  return true;
}

/* Bytes that the kernel took; 0 when it takes none now, or the socket is broken. */
static size_t send_now(int descriptor, const struct bytes *message) {
  for (;;) {
    ssize_t sent = send(descriptor, message->data, message->length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return (size_t)sent;
    if (errno != EINTR) return 0;
  }
}

static napi_value send_all(napi_env env, napi_callback_info info) {
  size_t argc = ARGUMENTS;
  napi_value argv[ARGUMENTS];
  uint32_t from = 0, to = 0, given = 0;
  size_t members = 0, known = 0, stated = 0, counted = 0, room = 0;
  void *slots_data = NULL, *descriptors_data = NULL, *states_data = NULL, *counts_data = NULL, *left_data = NULL;
  struct bytes messages[MESSAGES];
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != ARGUMENTS)
    return refuse(env, "sendAll takes eight arguments");
  if (napi_get_value_uint32(env, argv[1], &from) != napi_ok || napi_get_value_uint32(env, argv[2], &to) != napi_ok ||
      !elements(env, argv[0], napi_int32_array, &slots_data, &members) ||
      !elements(env, argv[3], napi_int32_array, &descriptors_data, &known) ||
      !elements(env, argv[4], napi_uint8_array, &states_data, &stated) || !read_messages(env, argv[5], messages, &given) ||
      !elements(env, argv[6], napi_int32_array, &counts_data, &counted) ||
      !elements(env, argv[7], napi_int32_array, &left_data, &room))
    return refuse(env, "sendAll was given a wrong argument");
  if (from > to || to > members || stated < known || counted < MESSAGES || room < 2 * (size_t)(to - from))
    return refuse(env, "sendAll was given an array that is too short");

  const int32_t *slots = slots_data;
  const int32_t *descriptors = descriptors_data;
  const uint8_t *states = states_data;
  int32_t *counts = counts_data;
  int32_t *left = left_data;
  uint32_t unserved = 0;
  for (uint32_t index = from; index < to; index += 1) {
    int32_t slot = slots[index];
    uint8_t state = slot >= 0 && (size_t)slot < known ? states[slot] : 0;
    size_t sent = 0;
    if (state > 0 && state <= given && messages[state - 1].data != NULL) {
      sent = send_now(descriptors[slot], &messages[state - 1]);
      if (sent == messages[state - 1].length) {
        counts[state - 1] += 1;
        continue;
      }
    }
    left[2 * unserved] = (int32_t)index;
    left[2 * unserved + 1] = (int32_t)sent;
    unserved += 1;
  }
  napi_value answer;
  if (napi_create_uint32(env, unserved, &answer) != napi_ok) return refuse(env, "sendAll has no answer");
  return answer;
}

static napi_value send_each(napi_env env, napi_callback_info info) {
  size_t argc = EACH_ARGUMENTS;
  napi_value argv[EACH_ARGUMENTS];
  uint32_t count = 0, given = 0;
  size_t members = 0, chosen = 0, known = 0, room = 0;
  void *slots_data = NULL, *which_data = NULL, *descriptors_data = NULL, *left_data = NULL;
  struct bytes messages[MESSAGES];
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != EACH_ARGUMENTS)
    return refuse(env, "sendEach takes six arguments");
  if (!elements(env, argv[0], napi_int32_array, &slots_data, &members) ||
      !elements(env, argv[1], napi_int32_array, &which_data, &chosen) ||
      napi_get_value_uint32(env, argv[2], &count) != napi_ok ||
      !elements(env, argv[3], napi_int32_array, &descriptors_data, &known) ||
      !read_messages(env, argv[4], messages, &given) || !elements(env, argv[5], napi_int32_array, &left_data, &room))
    return refuse(env, "sendEach was given a wrong argument");
  if (count > members || count > chosen || room < 2 * (size_t)count)
    return refuse(env, "sendEach was given an array that is too short");

  const int32_t *slots = slots_data;
  const int32_t *which = which_data;
  const int32_t *descriptors = descriptors_data;
  int32_t *left = left_data;
  uint32_t unserved = 0;
  for (uint32_t index = 0; index < count; index += 1) {
    int32_t slot = slots[index];
    int32_t place = which[index];
    size_t sent = 0;
    if (slot >= 0 && (size_t)slot < known && descriptors[slot] >= 0 && place >= 0 && (uint32_t)place < given &&
        messages[place].data != NULL) {
      sent = send_now(descriptors[slot], &messages[place]);
      if (sent == messages[place].length) continue;
    }
    left[2 * unserved] = (int32_t)index;
    left[2 * unserved + 1] = (int32_t)sent;
    unserved += 1;
  }
  napi_value answer;
  if (napi_create_uint32(env, unserved, &answer) != napi_ok) return refuse(env, "sendEach has no answer");
  return answer;
}

static napi_value give_back(napi_env env, napi_callback_info info) {
  (void)info;
  bool given = false;
#ifdef __GLIBC__
  given = malloc_trim(0) != 0;
#endif
  napi_value answer;
  if (napi_get_boolean(env, given, &answer) != napi_ok) return refuse(env, "giveBack has no answer");
  return answer;
}

static bool export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!export_function(env, exports, "sendAll", send_all) || !export_function(env, exports, "sendEach", send_each) ||
      !export_function(env, exports, "giveBack", give_back))
    napi_throw_error(env, NULL, "the native send loops cannot be set up");
  return exports;
}
