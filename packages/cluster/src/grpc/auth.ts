import { createHash, timingSafeEqual } from 'node:crypto';

import { type Metadata, type ServerInterceptor, ServerInterceptingCall } from '@grpc/grpc-js';
import { HalleyError } from '@halley/protocol/error';

import { toServiceError } from './status.js';

/** Who calls, as the check of its credentials found. Handlers get it with {@link callerOf}. */
export interface Caller {
  /** The name of the API key, or `cluster` for another tier. */
  readonly name: string;
}

/** What a check sees of a call. */
export interface CallCredentials {
  /** `package.Service/Method`. */
  readonly method: string;
  /** What stands behind `authorization: Bearer`; undefined without one. */
  readonly bearer: string | undefined;
  readonly metadata: Metadata;
}

/** Lets a call in, or throws `unauthenticated` or `permission_denied`. It runs before the request is read. */
export type AuthCheck = (credentials: CallCredentials) => Caller | Promise<Caller>;

/** The token that the tiers share (`cluster.token`). An empty one lets everybody in: the network or mTLS keeps others out. */
export function sharedToken(token: string): AuthCheck {
  const caller: Caller = { name: 'cluster' };
  if (token === '') return () => caller;
  const expected = digest(token);
  return ({ bearer }) => {
    if (bearer !== undefined && timingSafeEqual(digest(bearer), expected)) return caller;
    throw new HalleyError('unauthenticated', 'The call does not carry the token of this cluster.');
  };
}

const callers = new WeakMap<Metadata, Caller>();

/** Who makes a call; undefined when its service asks for no credentials. */
export function callerOf(call: { readonly metadata: Metadata }): Caller | undefined {
  return callers.get(call.metadata);
}

/** The value of `authorization: Bearer`. */
export function bearerOf(metadata: Metadata): string | undefined {
  const value = metadata.get('authorization')[0];
  return typeof value === 'string' ? /^Bearer +(\S+)$/i.exec(value)?.[1] : undefined;
}

/** Runs the check of the called service, named by `package.Service`; services without one are open. */
export function authInterceptor(checkOf: (service: string) => AuthCheck | undefined): ServerInterceptor {
  return (definition, call) => {
    const method = definition.path.replace(/^\//, '');
    const check = checkOf(method.split('/')[0] ?? '');
    if (!check) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            Promise.resolve()
              .then(() => check({ method, metadata, bearer: bearerOf(metadata) }))
              .then(
                (caller) => {
                  callers.set(metadata, caller);
                  pass(metadata);
                },
                (error: unknown) => call.sendStatus(toServiceError(error)),
              );
          },
        }),
    });
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
