import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

import { openApiDocument } from '../api/v1/openapi.js';

interface Documented {
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, object>> }>>;
}

/** For tests: the answers that the OpenAPI document tells, each with its schema. */
export class DocumentedAnswers {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, formats: { base64: true } });
  readonly #document = JSON.parse(JSON.stringify(openApiDocument())) as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Documented>>>>;
    readonly components: { readonly schemas: object };
  };

  constructor() {
    addFormats.default(this.#ajv);
    // A field that is not documented is a fault here, though callers are to expect more.
    close(this.#document);
    this.#ajv.addSchema({ $id: 'api', ...this.#document });
  }

  /** Every documented answer, as `push 200`. */
  all(): string[] {
    return Object.values(this.#document.paths).flatMap((item) =>
      Object.values(item).flatMap((operation) =>
        Object.keys(operation.responses).map((status) => `${idOf(operation)} ${status}`),
      ),
    );
  }

  /** What is wrong with an answer; empty when it is as documented. */
  problems(method: string, path: string, status: number, contentType: string, body: unknown): string[] {
    const operation = this.#document.paths[path]?.[method.toLowerCase()];
    const content = operation?.responses[status]?.content;
    if (!content) return [`${method} ${path}: ${status} is not documented`];
    const [type = ''] = contentType.split(';');
    if (!content[type])
      return [`${method} ${path}: ${status} is documented as ${Object.keys(content).join()}`];
    const pointer = [
      'paths',
      path,
      method.toLowerCase(),
      'responses',
      String(status),
      'content',
      type,
      'schema',
    ];
    const validate = this.#validator(pointer.map(escape).join('/'));
    return validate(body)
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  }

  #validator(pointer: string): ValidateFunction {
    return this.#ajv.compile({ $ref: `api#/${pointer}` });
  }
}

function idOf(operation: object): string {
  return (operation as { operationId: string }).operationId;
}

function escape(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function close(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  if ('properties' in node && !('additionalProperties' in node))
    Object.assign(node, { additionalProperties: false });
  for (const value of Object.values(node)) close(value);
}
