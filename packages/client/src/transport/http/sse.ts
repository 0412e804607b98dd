import { EventParser } from './events.js';
import { refusal, type Requests, type SessionEnd } from './request.js';

/** Frames that come as server-sent events, in one answer without an end. Rejects, or answers how it ended. */
export function readEvents(requests: Requests, received: (bytes: Uint8Array) => void): Promise<SessionEnd> {
  return requests.ask('/sse', { headers: { Accept: 'text/event-stream' } }, async (response) => {
    const { body, headers, ok } = response;
    if (!ok) return refusal(response);
    if (!body || !headers.get('content-type')?.startsWith('text/event-stream')) {
      return { text: 'The answer is no stream of events.' };
    }
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { text: 'The stream of events ended.' };
      for (const { name, data } of parser.push(decoder.decode(value, { stream: true }))) {
        if (name === 'close') return closeOf(data);
        if (name === 'message') received(bytesOf(data));
      }
    }
  });
}

function closeOf(data: string): SessionEnd {
  const { code, reason } = JSON.parse(data) as { readonly code: number; readonly reason: string };
  return { code, text: reason };
}

/** Throws on what is no base64. */
function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = text.charCodeAt(index);
  return bytes;
}
