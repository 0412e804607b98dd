import { openApiText } from '@halley/logic/api/v1/openapi';

import { table } from './table.mjs';

const INTRODUCTION = `# HTTP reference

<!-- Generated from the schemas of packages/logic/src/api/v1 by \`npm run docs\`. Do not edit. -->

Every path of \`/v1\` on the HTTP port of logic (3111). The same as an [OpenAPI 3.1 document](openapi.json), which every logic serves at
\`GET /v1/openapi.json\`, for code generators and viewers. What the options are for, with examples to copy, is in
[the business API](../business-api.md); goim's own paths are in [moving from goim](../moving-from-goim.md).
`;

/** docs/reference/openapi.json. */
export function openApiPage() {
  return openApiText();
}

/** docs/reference/http.md, from the OpenAPI document. */
export function httpPage() {
  const { info, paths, tags, components } = JSON.parse(openApiText());
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
  );
  const lines = [
    INTRODUCTION,
    ...info.description.split('\n\n').flatMap((text) => [text, '']),
    ...commonLines(),
  ];
  for (const { name, description } of tags) {
    lines.push(`## ${name}`, '', description, '');
    for (const operation of operations)
      if (operation.tags.includes(name)) lines.push(...operationLines(operation));
  }
  lines.push('## Types', '');
  for (const [name, schema] of Object.entries(components.schemas)) lines.push(...typeLines(name, schema));
  return `${lines.join('\n').trimEnd()}\n`;
}

/** Headers that every call takes. */
const COMMON_HEADERS = ['Halley-Timeout-Ms', 'traceparent'];

function commonLines() {
  return [
    'Where API keys are set (`api.keys`), each call brings one: `Authorization: Bearer KEY`, or `X-Api-Key: KEY`. Bodies are JSON',
    '(`Content-Type: application/json`); a field or query parameter that is not known is refused. Every call takes these headers too:',
    '',
    ...table(
      ['header', 'meaning'],
      [
        [
          '`Halley-Timeout-Ms`',
          'How long the caller waits, 1 to 600,000 ms. A push that is not written by then is refused (`deadline_exceeded`).',
        ],
        ['`traceparent`', 'W3C trace context.'],
      ],
    ),
    '',
  ];
}

function operationLines({ method, path, summary, description, parameters = [], requestBody, responses }) {
  const lines = [`### \`${method} ${path}\``, '', `${summary}. ${description.replaceAll('\n\n', ' ')}`, ''];
  const own = parameters.filter(({ name }) => !COMMON_HEADERS.includes(name));
  if (own.length > 0) {
    const rows = own.map(({ name, in: place, required, schema }) => [
      `\`${name}\``,
      required || place === 'path' ? `${place}, required` : place,
      typeOf(schema),
      meaningOf(schema),
    ]);
    lines.push(...table(['parameter', 'in', 'type', 'meaning'], rows), '');
  }
  const body = requestBody?.content['application/json'];
  if (body) {
    lines.push(`Body: ${typeOf(body.schema)}`, '');
    if (!body.schema.$ref) lines.push(...fieldTable(body.schema), '');
  }
  const answer = responses[200].content['application/json'];
  lines.push(`Answers ${typeOf(answer.schema)}.`, '');
  const failures = Object.entries(responses).filter(([status]) => status !== '200');
  const rows = failures.map(([status, failure]) => [status, codesOf(failure).join(', ')]);
  lines.push(...table(['failure', 'codes'], rows), '');
  for (const { summary: title, value } of Object.values(body?.examples ?? {})) {
    lines.push(`${title}:`, '', '```json', JSON.stringify(value), '```', '');
  }
  if (answer.example !== undefined) {
    lines.push('An answer:', '', '```json', JSON.stringify(answer.example, undefined, 2), '```', '');
  }
  return lines;
}

function codesOf({ description }) {
  return [...description.matchAll(/^`(\w+)`/gm)].map(([code]) => `[${code}](../errors.md)`);
}

function typeLines(name, schema) {
  const lines = [`### ${name}`, ''];
  if (schema.description) lines.push(schema.description, '');
  return [...lines, ...fieldTable(schema), ''];
}

function fieldTable({ properties = {}, required = [] }) {
  const rows = Object.entries(properties).flatMap(([name, schema]) =>
    fieldRows(name, schema, required.includes(name)),
  );
  return table(['field', 'type', 'meaning'], rows);
}

/** A field, and those of an object without a name of its own below it. */
function fieldRows(name, schema, required) {
  const inner = schema.properties ?? schema.items?.properties ?? {};
  const below = schema.items ? `${name}[].` : `${name}.`;
  const needed = (schema.items ?? schema).required ?? [];
  return [
    [`\`${name}\`${required ? '' : '?'}`, typeOf(schema), meaningOf(schema)],
    ...Object.entries(inner).flatMap(([field, one]) =>
      fieldRows(`${below}${field}`, one, needed.includes(field)),
    ),
  ];
}

function typeOf(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1);
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' or ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items)}`;
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return `map of ${typeOf(schema.additionalProperties)}`;
  }
  const format = schema.contentEncoding === 'base64' ? ' (base64)' : '';
  return `${schema.type ?? 'anything'}${format}`;
}

function meaningOf(schema) {
  const bounds = [
    schema.maxLength !== undefined && `At most ${schema.maxLength} characters.`,
    schema.maxItems !== undefined && `${schema.minItems} to ${schema.maxItems}.`,
    schema.type === 'integer' && schema.minimum > 0 && `From ${schema.minimum} on.`,
  ].filter(Boolean);
  const { description = '' } = schema;
  return [description, ...bounds].filter(Boolean).join(' ');
}
