import { HalleyError } from '@halley/protocol/error';
import type { SendRequest } from '@halley/protocol/client/bodies';
import type { Clock } from '@halley/service/clock';
import { checkHookUrl } from '@halley/service/hook-url';
import { secretOf, signed } from '@halley/service/webhook-signature';
import type { Logger } from '@halley/service/log';
import { z } from 'zod';

import { ANONYMOUS, type Asker } from '../client/asker.js';
import type { LogicMetrics } from '../metrics.js';

/** Configuration of what the business decides, section `hooks`. */
export const hooksConfig = z.object({
  sendUrl: z.string().default('').meta({
    description:
      'Asked whether a client may send a message that its token does not let it send, as docs/hooks.md says; empty: it may not. The same for every logic.',
  }),
  sendSecrets: z.array(z.string().min(1)).max(4).default([]).meta({
    description: 'To sign what is asked with, as `whsec_` and base64; a second one while they are changed.',
    secret: true,
  }),
  sendTimeoutMs: z.int().min(50).max(8_000).default(2_000).meta({
    description: 'How long the answer may take; then the client is told to try again.',
    unit: 'ms',
    range: '500–3,000',
  }),
  sendMaxInFlight: z.int().min(1).max(100_000).default(256).meta({
    description: 'Questions at once; more messages are refused as overloaded.',
    range: '64–1,024',
  }),
  allowHttp: z.boolean().default(false).meta({
    description: 'hooks.sendUrl may be http:// also outside loopback.',
  }),
});

export type HooksConfig = z.infer<typeof hooksConfig>;

/** Checks what one key alone cannot tell. Throws `bad_config`. */
export function checkHooks({ sendUrl, sendSecrets, allowHttp }: HooksConfig): void {
  if (sendUrl === '') return;
  checkHookUrl(sendUrl, 'hooks.sendUrl', allowHttp ? undefined : 'hooks.allowHttp');
  if (sendSecrets.length === 0)
    throw new HalleyError('bad_config', 'hooks.sendSecrets is empty: set one to sign with');
  for (const [index, secret] of sendSecrets.entries())
    if (!secretOf(secret))
      throw new HalleyError(
        'bad_config',
        `hooks.sendSecrets[${index}] is not whsec_ and 24 to 64 bytes in base64`,
      );
}

export interface SendHookDeps {
  readonly config: HooksConfig;
  readonly clock: Clock;
  readonly metrics: LogicMetrics;
  readonly log: Logger;
  /** Default: Node's. */
  readonly fetch?: typeof fetch;
}

const MAX_ANSWER_BYTES = 4_096;
const MAX_REASON_LENGTH = 200;

const answerSchema = z.object({ allow: z.boolean(), reason: z.string().default('') });

/** Asks the business whether a client may send what its token does not let it send. */
export class SendHook {
  readonly #keys: readonly Buffer[];
  #inFlight = 0;

  constructor(private readonly deps: SendHookDeps) {
    this.#keys = deps.config.sendSecrets.flatMap((secret) => secretOf(secret) ?? []);
  }

  /** Whether there is somebody to ask. */
  get enabled(): boolean {
    return this.deps.config.sendUrl !== '';
  }

  /**
   * Resolves when the business allows it. Throws `send_not_granted` with its reason; `unavailable` when it does not answer in
   * time, or anything but what it should; `overloaded`.
   */
  async require(request: SendRequest, id: string, from: Asker): Promise<void> {
    const { config, metrics } = this.deps;
    if (!this.enabled) throw new HalleyError('send_not_granted');
    if (this.#inFlight >= config.sendMaxInFlight) {
      metrics.sendHooks.inc({ result: 'overloaded' });
      throw new HalleyError('overloaded', undefined, { retryAfterMs: 1_000 });
    }
    this.#inFlight += 1;
    try {
      const { allow, reason } = await this.#ask(bodyOf(request, id, from), id);
      metrics.sendHooks.inc({ result: allow ? 'allowed' : 'refused' });
      if (!allow) throw new HalleyError('send_not_granted', reason.slice(0, MAX_REASON_LENGTH) || undefined);
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #ask(body: string, id: string): Promise<z.infer<typeof answerSchema>> {
    const { config, clock, metrics, log, fetch: send = fetch } = this.deps;
    try {
      const answer = await send(config.sendUrl, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'halley-hook/1',
          ...signed(id, body, clock.now(), this.#keys),
        },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(config.sendTimeoutMs),
      });
      if (answer.status !== 200) throw new Error(`status ${answer.status}`);
      return answerSchema.parse(JSON.parse(await textOf(answer)));
    } catch (error) {
      metrics.sendHooks.inc({ result: 'failed' });
      log.warn({ err: error }, 'hooks.sendUrl did not say whether a client may send');
      throw new HalleyError('unavailable', 'Nobody could say whether this may be sent.', { cause: error });
    }
  }
}

function bodyOf(
  { clientId, room, toMid, operation, body }: SendRequest,
  id: string,
  { mid, key, at }: Asker,
): string {
  const data = {
    mid,
    key,
    comet: at.node,
    message_id: id,
    client_id: clientId,
    ...(toMid === ANONYMOUS ? { room } : { to_mid: toMid }),
    operation,
    body: Buffer.from(body).toString('base64'),
    body_bytes: body.byteLength,
  };
  return JSON.stringify({ type: 'send', data });
}

async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += (chunk as Uint8Array).byteLength;
    // Leaving the loop cancels the rest.
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`an answer above ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString();
}
