import { expect, test } from '@jest/globals';

import { type ChatMessage, type Entry, Timeline } from './timeline.js';

const entry = (position: number, more: Partial<Entry> = {}): Entry => ({
  clientId: '',
  position,
  mark: position,
  fromMid: '2',
  fromName: 'Bob',
  mine: false,
  text: `m${position}`,
  atMs: position,
  sending: 'sent',
  ...more,
});
const outgoing = (clientId: string): ChatMessage => ({
  ...entry(0),
  clientId,
  position: undefined,
  mine: true,
});
const positions = ({ entries }: Timeline): number[] => entries.map(({ position }) => position);

test('messages stand by position, each once, however they come', () => {
  const timeline = new Timeline();
  const fresh = [30, 10, 20, 40, 20, 10].map((position) => timeline.insert('e', entry(position)));
  expect(fresh).toEqual([true, true, true, true, false, false]);
  expect(positions(timeline)).toEqual([10, 20, 30, 40]);
  expect([timeline.oldest?.position, timeline.newest?.position]).toEqual([10, 40]);
});

test('another epoch begins anew', () => {
  const timeline = new Timeline();
  timeline.insert('e', entry(10));
  timeline.lose({ after: 1, through: 5, reason: 'retention' });
  timeline.insert('f', entry(3));
  expect([positions(timeline), timeline.missing]).toEqual([[3], []]);
});

test('an own message is on its way until it stands in the stream', () => {
  const timeline = new Timeline();
  timeline.send(outgoing('a'));
  timeline.send(outgoing('b'));
  timeline.send({ ...outgoing('a'), sending: 'failed' });
  expect(timeline.outgoing.map(({ clientId, sending }) => [clientId, sending])).toEqual([
    ['a', 'failed'],
    ['b', 'sent'],
  ]);
  timeline.insert('e', entry(10, { clientId: 'b', mine: true }));
  expect(timeline.outgoing.map(({ clientId }) => clientId)).toEqual(['a']);
  expect(positions(timeline)).toEqual([10]);
});

test("another one's client id settles nothing", () => {
  const timeline = new Timeline();
  timeline.send(outgoing('a'));
  timeline.insert('e', entry(10, { clientId: 'a' }));
  expect(timeline.outgoing).toHaveLength(1);
});

test('a gap is told once', () => {
  const timeline = new Timeline();
  timeline.lose({ after: 1, through: 5, reason: 'retention' });
  timeline.lose({ after: 1, through: 5, reason: 'retention' });
  expect(timeline.missing).toHaveLength(1);
});
