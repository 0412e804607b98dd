import { credentials, type ServiceError } from '@grpc/grpc-js';

import { protos } from '@halley/cluster/grpc/protos';

type Callback<Reply> = (error: ServiceError | null, reply?: Reply) => void;

/** Clients of goim's services at an address, `host:port`. */
export function cometClient(address: string): InstanceType<typeof protos.goim.comet.Comet> {
  return new protos.goim.comet.Comet(address, credentials.createInsecure());
}

export function logicClient(address: string): InstanceType<typeof protos.goim.logic.Logic> {
  return new protos.goim.logic.Logic(address, credentials.createInsecure());
}

/** What clients say for the business, at logic's address. */
export function upstreamClient(address: string): InstanceType<typeof protos.halley.push.v1.UpstreamService> {
  return new protos.halley.push.v1.UpstreamService(address, credentials.createInsecure());
}

/** A unary call as a promise: `unary(client.Rooms.bind(client), {})`. Rejects with the ServiceError. */
export function unary<Request, Reply>(
  method: (request: Request, callback: Callback<Reply>) => unknown,
  request: Request,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    method(request, (error, reply) => {
      if (error || reply === undefined) reject(error ?? new Error('neither error nor reply'));
      else resolve(reply);
    });
  });
}
