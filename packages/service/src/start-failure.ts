import { isNativeError } from 'node:util/types';

import { HalleyError } from '@halley/protocol/error';

import { cannotBind, portTaken } from './port-holder.js';

/** One line that says why a start failed and what to do. */
export async function explainStartFailure(error: unknown): Promise<string> {
  const told = (await bindFailure(error)) ?? error;
  if (told instanceof HalleyError) {
    const cause = told.code === 'internal' && isNativeError(told.cause) ? `: ${told.cause.message}` : '';
    return oneLine(`${told.message}${cause}`);
  }
  return oneLine(isNativeError(told) ? told.message || told.name : String(told));
}

/** What `listen` of Node or of gRPC says about a port that cannot be bound. */
async function bindFailure(error: unknown): Promise<HalleyError | undefined> {
  for (const text of messages(error)) {
    const match = /\b(EADDRINUSE|EADDRNOTAVAIL|EACCES)\b.*?\s\[?([^\s\]]+?)\]?:(\d+)/.exec(text);
    if (!match) continue;
    const [, code = '', host = '', port] = match;
    const claim = { host, port: Number(port) };
    return code === 'EADDRINUSE' ? portTaken(claim) : cannotBind(claim, code);
  }
  return undefined;
}

function messages(error: unknown): string[] {
  const texts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; isNativeError(current) && depth < 5; depth += 1) {
    texts.push(current.message);
    current = current.cause;
  }
  return texts;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}
