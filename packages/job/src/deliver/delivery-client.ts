import { makeClientConstructor } from '@grpc/grpc-js';
import type { ClientConstructor } from '@halley/cluster/grpc/client';
import type { DeliverRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverRequest';
import type { DeliveryServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliveryService';
import { plainEncoder, protos } from '@halley/cluster/grpc/protos';

const { service } = protos.halley.delivery.v1.DeliveryService;

/** What job sends to comets, enums as numbers. */
export const encodeDeliverRequest = plainEncoder<DeliverRequest>('halley.delivery.v1.DeliverRequest');

/** The client of comets' deliveries, which encodes what it is given as it is. */
export const DeliveryClient = makeClientConstructor(
  { ...service, Deliver: { ...service.Deliver, requestSerialize: encodeDeliverRequest } },
  'halley.delivery.v1.DeliveryService',
) as unknown as ClientConstructor<DeliveryServiceClient>;
