import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeRecord, encodeRecord } from './record-codec.js';

test('a record comes back as it was', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 });
  const headers = fc.dictionary(text, text, { maxKeys: 5 });
  fc.assert(
    fc.property(text, headers, fc.uint8Array({ maxLength: 200 }), (key, named, value) => {
      const read = decodeRecord(9, encodeRecord({ key, headers: named, value }, 1_234.5));
      expect(read).toMatchObject({ offset: 9, key, timestampMs: 1_234.5 });
      expect(Object.entries(read.headers)).toEqual(Object.entries(named));
      expect([...read.value]).toEqual([...value]);
    }),
    { examples: [['', { ['__proto__']: 'x' }, Uint8Array.of()]] },
  );
});

test('bytes of a later layout are not guessed at', () => {
  const encoded = encodeRecord({ key: 'k', value: Buffer.from('v') }, 0);
  encoded.writeUInt8(2, 0);
  expect(() => decodeRecord(0, encoded)).toThrow('unknown record layout 2');
});
