import type { Target__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Target';

/** Whom a push is for, in few words. */
export function targetText(target: Target__Output | null): string {
  switch (target?.target) {
    case 'users':
      return `users ${shortList(target.users?.mids ?? [])}`;
    case 'keys':
      return `keys ${shortList(target.keys?.keys ?? [])}`;
    case 'room':
      return `room ${target.room ?? ''}`;
    case 'everyone':
      return 'everyone';
    case undefined:
      return '-';
  }
}

/** `SCHEDULE_STATE_WAITING` as `waiting`. */
export function stateWord(name: string): string {
  return name.replace(/^SCHEDULE_STATE_/, '').toLowerCase();
}

/** `DELIVERY_CLASS_DURABLE` as `durable`; undefined is the target's default. */
export function classWord(name: string): string | undefined {
  return name === 'DELIVERY_CLASS_UNSPECIFIED'
    ? undefined
    : name.replace(/^DELIVERY_CLASS_/, '').toLowerCase();
}

function shortList(names: readonly string[]): string {
  return names.length <= 3
    ? names.join(', ')
    : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
}

/** What gRPC answers as the HTTP API tells it: states as words, numbers as numbers, nothing where nothing is. */
export function asJson(message: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(message), function (this: unknown, name: string, value: unknown) {
    if (value === '' || value === null) return undefined;
    // The name of the field that is set; it stands there itself.
    if (name === 'target' && typeof value === 'string') return undefined;
    if (typeof value !== 'string') return value;
    if (WORDS.test(name)) return wordOf(value);
    return NUMBERS.test(name) ? Number(value) : value;
  }) as Record<string, unknown>;
}

const WORDS = /^(kind|state|class|priority)$/;
const NUMBERS = /(_ms|_bytes|^missed|^speed)$/;

function wordOf(name: string): string | undefined {
  const word = name.replace(/^(SCHEDULE_STATE|SCHEDULE_KIND|DELIVERY_CLASS|PRIORITY)_/, '').toLowerCase();
  return word === 'unspecified' ? undefined : word;
}
