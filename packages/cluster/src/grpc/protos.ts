import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

import type { ProtoGrpcType as CometTypes } from './gen/comet.js';
import type { ProtoGrpcType as DeadLetterTypes } from './gen/dead_letter.js';
import type { ProtoGrpcType as DeliveryTypes } from './gen/delivery.js';
import type { ProtoGrpcType as EventTypes } from './gen/event.js';
import type { ProtoGrpcType as LedgerTypes } from './gen/ledger.js';
import type { ProtoGrpcType as LogicTypes } from './gen/logic.js';
import type { ProtoGrpcType as PushTypes } from './gen/push.js';
import type { ProtoGrpcType as RecordTypes } from './gen/record.js';
import type { ProtoGrpcType as ScheduleTypes } from './gen/schedule.js';
import type { ProtoGrpcType as ScheduledTypes } from './gen/scheduled.js';
import type { ProtoGrpcType as SessionTypes } from './gen/session.js';

/** The folder of the .proto files: at the repository's root, beside packages. */
export const PROTO_DIR = fileURLToPath(new URL('../../../../protos', import.meta.url));

/** The loader's options; scripts/generate-grpc-types.mjs generates the types with the same ones. */
const LOADER_OPTIONS = {
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  includeDirs: [PROTO_DIR],
};

const FILES = [
  'goim/protocol.proto',
  'goim/comet.proto',
  'goim/logic.proto',
  'halley/push/v1/push.proto',
  'halley/push/v1/schedule.proto',
  'halley/push/v1/dead_letter.proto',
  'halley/push/v1/ledger.proto',
  'halley/push/v1/event.proto',
  'halley/delivery/v1/record.proto',
  'halley/delivery/v1/scheduled.proto',
  'halley/delivery/v1/delivery.proto',
  'halley/delivery/v1/session.proto',
];

/** Every proto of Halley, loaded once. */
export const packageDefinition = loadSync(FILES, LOADER_OPTIONS);

type All = CometTypes &
  LogicTypes &
  PushTypes &
  LedgerTypes &
  EventTypes &
  RecordTypes &
  DeliveryTypes &
  SessionTypes &
  ScheduleTypes &
  ScheduledTypes &
  DeadLetterTypes;

/** Service definitions and clients by package: `protos.goim.logic.Logic`, `protos.halley.push.v1.PushService`. */
export const protos = loadPackageDefinition(packageDefinition) as unknown as All;

/** Encodes and decodes one message type outside a call, as a record of the bus. */
export interface Codec<Input extends object, Output extends object> {
  encode(message: Input): Buffer;
  /** Throws on what is no such message. */
  decode(bytes: Uint8Array): Output;
}

/** The codec of a message type: `codec(protos.goim.logic.PushMsg)`. */
export function codec<Input extends object, Output extends object>(
  type: MessageTypeDefinition<Input, Output>,
): Codec<Input, Output> {
  return {
    encode: (message) => type.serialize(message),
    decode: (bytes) => type.deserialize(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
  };
}

/**
 * Encodes messages of a type as they are, several times as fast as a {@link codec}, which first makes objects of the type's
 * class of them: enums must be numbers. For what is encoded for every push.
 */
export function plainEncoder<Input extends object>(name: string): (message: Input) => Buffer {
  const type = plainTypes().lookupType(name);
  return (message) => type.encode(message).finish() as Buffer;
}

let loaded: protobuf.Root | undefined;

/** The same types as the library underneath has them. */
export function plainTypes(): protobuf.Root {
  if (!loaded) {
    loaded = new protobuf.Root();
    loaded.resolvePath = (_from, file) => join(PROTO_DIR, file);
    loaded.loadSync([...FILES], { keepCase: true });
  }
  return loaded;
}
