import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { HalleyError } from '@halley/protocol/error';

import { CometHarness, until } from '../testing/harness.js';
import { frame } from '../testing/test-client.js';

let harness: CometHarness;

beforeEach(async () => {
  harness = await CometHarness.start({ leaveRoomAfterMs: 10 });
});
afterEach(() => harness.stop());

test('who leaves before its room was written takes no other member of the room along', async () => {
  const { logic, comet } = harness;
  const write = logic.enterRoom.bind(logic);
  let refused = 0;
  logic.enterRoom = async () => {
    refused += 1;
    throw new HalleyError('store_unavailable');
  };
  const first = await harness.tcp();
  first.send(frame(7, '{"mid":1,"key":"a","room_id":"r"}'));
  // By now it is asked again less and less often.
  await until(() => refused >= 4);
  first.close();
  await until(() => comet.counter.open === 0);
  logic.enterRoom = write;
  await harness.tcpOf({ mid: 2, key: 'b', room_id: 'r' });
  await until(() => logic.calls.includes('disconnect a'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(logic.calls).not.toContain('leave r');
  expect(comet.directory.rooms()).toEqual(['r']);
});
