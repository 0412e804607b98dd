/** One server-sent event: its name, `message` where it has none, and its data. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** Characters that may be held for one event: far above the largest frame. */
const MAX_HELD = 64 * 1_048_576;

/**
 * Reads server-sent events out of text that is cut anywhere (HTML Standard, 9.2.6). Comments, ids and retry times say nothing
 * here.
 */
export class EventParser {
  /** Of a line that is not whole. */
  #held: string[] = [];
  #heldLength = 0;
  #name = '';
  #data: string[] = [];

  /** Events that are whole with this text. Throws when one becomes too large. */
  push(text: string): readonly ServerEvent[] {
    const events: ServerEvent[] = [];
    this.#heldLength += text.length;
    if (this.#heldLength > MAX_HELD) throw new Error('An event is too large.');
    const lines = text.split('\n');
    const last = lines.pop() ?? '';
    for (const line of lines) {
      this.#line([...this.#held, line].join('').replace(/\r$/, ''), events);
      this.#held = [];
    }
    if (last) this.#held.push(last);
    if (lines.length > 0)
      this.#heldLength = last.length + this.#data.reduce((sum, { length }) => sum + length, 0);
    return events;
  }

  #line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.#data.length > 0) events.push({ name: this.#name || 'message', data: this.#data.join('\n') });
      this.#name = '';
      this.#data = [];
      return;
    }
    const [, field, value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === 'event') this.#name = value;
    else if (field === 'data') this.#data.push(value);
  }
}
