import type { Entry } from '@halley/protocol/client/bodies';
import type { WriteFields } from '@halley/protocol/client/message';

import type { ClientError } from '../client-error.js';
import { Client } from '../client.js';
import type { ConnectionState } from '../connection/state.js';
import type { Platform } from '../core.js';
import type { ClientOptions } from '../options.js';
import type { StreamGap } from '../streams/continue.js';
import type { StreamMessage } from '../streams/message.js';
import type { TransportName } from '../transport/transport.js';
import { FakeClock } from './fake-clock.js';
import { FakeServer } from './fake-server.js';

/** A client, what it told, and the server and the time that it lives in. */
export interface Rig {
  readonly client: Client;
  readonly server: FakeServer;
  readonly clock: FakeClock;
  readonly messages: StreamMessage[];
  readonly gaps: StreamGap[];
  readonly errors: ClientError[];
  readonly states: ConnectionState[];
  readonly transports: TransportName[];
}

/** What a rig is made with; a server and a clock of another one make a second device, or a later start. */
export interface RigOptions extends Partial<ClientOptions> {
  readonly server?: FakeServer;
  readonly clock?: FakeClock;
  readonly climb?: Platform['climb'];
}

/** A client that is not connected yet. */
export function makeRig({
  server = new FakeServer(),
  clock = new FakeClock(),
  climb,
  ...options
}: RigOptions = {}): Rig {
  const client = new Client(
    { addresses: 'ws://a:1', token: '{"mid":7,"key":"phone"}', deflate: true, ...options },
    { clock, openTransport: server.openTransport, ...(climb && { climb }) },
  );
  const rig: Rig = { client, server, clock, messages: [], gaps: [], errors: [], states: [], transports: [] };
  client.on('message', (message) => void rig.messages.push(message));
  client.on('gap', (gap) => void rig.gaps.push(gap));
  client.on('error', (error) => void rig.errors.push(error));
  client.on('transport', (name) => void rig.transports.push(name));
  client.on('state', (state) => void rig.states.push(state));
  return rig;
}

/** A client that is connected. */
export async function connectedRig(options: RigOptions = {}): Promise<Rig> {
  const rig = makeRig(options);
  await rig.client.connect();
  return rig;
}

/** An entry at this position, with it as its id and its body. */
export function entryAt(position: number): WriteFields<typeof Entry.fields> {
  const text = `m${position}`;
  return { position, id: text, operation: 1_000, body: new TextEncoder().encode(text) };
}

/** The positions that were shown of one stream. */
export function positionsOf({ messages }: Rig, stream = 'u/7'): readonly number[] {
  return messages.filter((message) => message.stream === stream).map(({ position }) => position);
}
