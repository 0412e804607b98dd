import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { assign } from './embedded-group.js';

test('partitions are shared evenly, each once, and no more of them move than needed', () => {
  const owners = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 48 });
  fc.assert(
    fc.property(owners, fc.integer({ min: 1, max: 6 }), (owner, members) => {
      const owned = Array.from({ length: members }, (_, member) =>
        owner.flatMap((of, partition) => (of === member ? [partition] : [])),
      );
      const shares = assign(owner.length, owned);
      expect(shares.flat().toSorted((a, b) => a - b)).toEqual(owner.map((_, partition) => partition));
      const sizes = shares.map((share) => share.length);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      shares.forEach((share, member) => {
        const kept = share.filter((partition) => owned[member]?.includes(partition)).length;
        expect(kept).toBe(Math.min(share.length, owned[member]?.length ?? 0));
      });
    }),
  );
});
