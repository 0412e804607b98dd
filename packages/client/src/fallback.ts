// What is needed only where WebSocket does not get through: browsers load it then.
import { Climb } from './connection/climb.js';
import type { Core } from './core.js';

export { httpTransport } from './transport/http/http.js';

/** From now on the client goes up to better transports by itself. */
export function climb(core: Core): void {
  new Climb(core);
}
