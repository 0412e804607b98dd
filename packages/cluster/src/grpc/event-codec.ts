import { codec, protos } from './protos.js';

/** The codec of the values of halley-events. */
export const eventCodec = codec(protos.halley.push.v1.Event);
