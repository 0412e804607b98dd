import type { Transport } from './goim-client.js';

const ALL: readonly Transport[] = ['tcp', 'ws', 'sse', 'poll'];

/** The variable that chooses the transports of the conformance suites: a list of `tcp`, `ws`, `sse`, `poll`. */
export const TRANSPORTS_VARIABLE = 'HALLEY_CONFORMANCE_TRANSPORTS';

/** What the suites are run over: TCP and WebSocket, unless the environment names others. */
export function transportsUnderTest(env: NodeJS.ProcessEnv): readonly Transport[] {
  const named = (env[TRANSPORTS_VARIABLE] ?? 'tcp,ws').split(',');
  const wrong = named.filter((name) => !ALL.includes(name as Transport));
  if (wrong.length > 0) throw new Error(`${TRANSPORTS_VARIABLE}: ${wrong.join()} is none of ${ALL.join()}`);
  return named as Transport[];
}

/** Whether a session over it is opened by a request: nothing can be said ahead of the auth. */
export function isHttp(transport: Transport): transport is 'sse' | 'poll' {
  return transport === 'sse' || transport === 'poll';
}
