import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { Roster } from './roster.js';

interface Member {
  roomSlot: number;
  readonly outbox: { readonly slot: number };
  everyoneSlot: number;
  readonly name: number;
}

const OUTBOX = { slot: -1 };

type Step = { readonly do: 'add' } | { readonly do: 'remove' | 'serve'; readonly which: number };

const step = fc.oneof(
  fc.constant<Step>({ do: 'add' }),
  fc.record({ do: fc.constant('remove' as const), which: fc.nat(1_000) }),
  fc.record({ do: fc.constant('serve' as const), which: fc.nat(5) }),
);

describe('a roster', () => {
  test('a pass serves everybody who was there at its start and stayed, once, and nobody else', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.array(step, { maxLength: 120 }), (start, steps) => {
        const roster = new Roster<Member>('roomSlot');
        let names = 0;
        const present: Member[] = [];
        const add = (): void => {
          const member = { roomSlot: -1, everyoneSlot: -1, outbox: { slot: 7 * names }, name: names };
          names += 1;
          roster.add(member);
          present.push(member);
        };
        for (let i = 0; i < start; i += 1) add();
        const atStart = new Set(present);
        const served = new Map<Member, number>();
        const serve = (member: Member): void => {
          served.set(member, (served.get(member) ?? 0) + 1);
        };
        const removedUnserved = new Set<Member>();
        roster.beginPass();
        for (const one of steps) {
          if (one.do === 'add') add();
          else if (one.do === 'serve') roster.servePass(one.which, serve);
          else if (present.length > 0) {
            const [gone] = present.splice(one.which % present.length, 1) as [Member];
            if (!served.has(gone)) removedUnserved.add(gone);
            expect(roster.remove(gone)).toBe(true);
            expect(gone.roomSlot).toBe(-1);
          }
        }
        roster.servePass(Number.POSITIVE_INFINITY, serve);
        const expected = [...atStart].filter((member) => !removedUnserved.has(member));
        expect(new Set(served.keys())).toEqual(new Set(expected));
        expect([...served.values()].every((times) => times === 1)).toBe(true);
        expect(new Set(roster.snapshot())).toEqual(new Set(present));
        roster.snapshot().forEach((member, index) => {
          expect(member.roomSlot).toBe(index);
          if (roster.compact) expect(roster.compact[index]).toBe(member.outbox.slot);
        });
      }),
      { numRuns: 500 },
    );
  });

  test('a member may remove itself, and others, while it is served', () => {
    const roster = new Roster<Member>('roomSlot');
    const members = Array.from({ length: 10 }, (_, name) => ({
      roomSlot: -1,
      everyoneSlot: -1,
      outbox: OUTBOX,
      name,
    }));
    for (const member of members) roster.add(member);
    const served: number[] = [];
    roster.beginPass();
    roster.servePass(100, (member) => {
      served.push(member.name);
      roster.remove(member);
      const next = members[member.name - 1];
      if (next) roster.remove(next);
    });
    expect(served).toEqual([9, 7, 5, 3, 1]);
    expect(roster.size).toBe(0);
  });

  test('who is not in it is not removed', () => {
    const roster = new Roster<Member>('roomSlot');
    expect(roster.remove({ roomSlot: -1, everyoneSlot: -1, outbox: OUTBOX, name: 1 })).toBe(false);
    roster.add({ roomSlot: -1, everyoneSlot: -1, outbox: OUTBOX, name: 2 });
    expect(roster.remove({ roomSlot: 0, everyoneSlot: -1, outbox: OUTBOX, name: 3 })).toBe(false);
    expect(roster.size).toBe(1);
  });
});
