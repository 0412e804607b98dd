/** The body of a numbered push: `RUN/STREAM/NUMBER/LENGTH/…`, where as many dots follow as the length says. */
export interface NumberedBody {
  /** Told apart from other checks on the same cluster. */
  readonly run: string;
  readonly stream: string;
  readonly number: number;
  /** Bytes behind the number, so that small and large bodies are pushed. */
  readonly padding: number;
}

const BODY = /^([a-z0-9]+)\/([a-z]+(?:-\d+)?)\/(\d{1,12})\/(\d{1,7})\/(\.*)$/;

/** Writes a body. */
export function encodeBody({ run, stream, number, padding }: NumberedBody): string {
  return `${run}/${stream}/${number}/${padding}/${'.'.repeat(padding)}`;
}

/** Reads a body; undefined when it is none, or not all of one. */
export function decodeBody(text: string): NumberedBody | undefined {
  const [, run = '', stream = '', number, padding, dots = ''] = BODY.exec(text) ?? [];
  if (number === undefined || Number(padding) !== dots.length) return undefined;
  return { run, stream, number: Number(number), padding: dots.length };
}
