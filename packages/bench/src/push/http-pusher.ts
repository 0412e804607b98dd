import { Agent, request } from 'node:http';

import { type Answer, OK, type Push, type Pusher, type Target } from './pusher.js';

/** goim's HTTP API at one logic, `http://host:port`, over connections that are kept. */
export class HttpPusher implements Pusher {
  readonly name: string;
  readonly takesIds = false;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(
    private readonly base: string,
    private readonly apiKey?: string,
  ) {
    this.name = base;
  }

  push({ target, operation, body }: Push, timeoutMs: number): Promise<Answer> {
    const [path, query] = pathOf(target);
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries({ operation: String(operation), ...query }))
      url.searchParams.set(name, value);
    return new Promise((resolve) => {
      const call = request(url, {
        method: 'POST',
        agent: this.#agent,
        headers: {
          'content-length': Buffer.byteLength(body),
          ...(this.apiKey === undefined ? {} : { 'x-api-key': this.apiKey }),
        },
      });
      const timer = setTimeout(() => call.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
      const answer = (given: Answer): void => {
        clearTimeout(timer);
        resolve(given);
      };
      const fail = (error: NodeJS.ErrnoException): void =>
        answer({ outcome: error.syscall === 'connect' ? 'unreached' : 'unknown', why: error.message });
      call.on('error', fail);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () =>
          answer(answerOf(response.statusCode ?? 0, Buffer.concat(chunks).toString())),
        );
      });
      call.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** 400 to 499 are refusals; 200 with another code than 0 may have been taken or not. */
function answerOf(status: number, text: string): Answer {
  if (status === 200 && codeOf(text) === 0) return OK;
  return { outcome: status >= 400 && status < 500 ? 'refused' : 'unknown', why: `${status} ${text}` };
}

function codeOf(text: string): number | undefined {
  try {
    return (JSON.parse(text) as { code?: number }).code;
  } catch {
    return undefined;
  }
}

function pathOf(target: Target): [path: string, query: Record<string, string>] {
  if ('mid' in target) return ['/goim/push/mids', { mids: target.mid.toString() }];
  if ('room' in target) return ['/goim/push/room', { type: target.room.type, room: target.room.room }];
  return ['/goim/push/all', {}];
}
