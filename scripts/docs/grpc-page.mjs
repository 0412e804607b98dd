import { readdirSync, readFileSync } from 'node:fs';

import protobuf from 'protobufjs';

import { table } from './table.mjs';

const FOLDER = new URL('../../protos/halley/push/v1/', import.meta.url);

const INTRODUCTION = `# gRPC reference

<!-- Generated from protos/halley/push/v1 by \`npm run docs\`. Do not edit. -->

The services of the business API on the gRPC port of logic (3119), package \`halley.push.v1\`. Where API keys are set, each call brings
one as metadata: \`authorization: Bearer KEY\`, or \`x-api-key: KEY\`. A failure has the trailers \`halley-code\`
([errors](../errors.md)), \`halley-outcome\` and, where there is one, \`retry-after-ms\`. Reflection is on:
\`grpcurl -plaintext 127.0.0.1:3119 list\`. What the options are for, with examples to copy, is in
[the business API](../business-api.md).
`;

/** Files in this order; others follow. */
const ORDER = ['push.proto', 'schedule.proto', 'ledger.proto', 'dead_letter.proto'];

/** docs/reference/grpc.md, from the comments of the protos. */
export function grpcPage() {
  const files = readdirSync(FOLDER).toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const parsed = files.map((file) => parse(file));
  const known = new Set(parsed.flatMap(({ types }) => types.map(({ name }) => name)));
  const services = parsed.flatMap(({ services: found }) => found);
  const lines = [
    INTRODUCTION,
    ...table(
      ['service', 'for'],
      services.map((service) => [linkTo(service.name), sentence(service.comment)]),
    ),
    '',
  ];
  for (const service of services) lines.push(...serviceLines(service, known));
  lines.push('## Messages', '');
  for (const { types } of parsed) for (const type of types) lines.push(...typeLines(type, known));
  return `${lines.join('\n').trimEnd()}\n`;
}

function rank(file) {
  const at = ORDER.indexOf(file);
  return at < 0 ? ORDER.length : at;
}

function parse(file) {
  const root = new protobuf.Root();
  const text = readFileSync(new URL(file, FOLDER), 'utf8');
  protobuf.parse(text, root, { alternateCommentMode: true, keepCase: true });
  const { nestedArray } = root.lookup('halley.push.v1');
  const services = nestedArray.filter((one) => one instanceof protobuf.Service);
  return { services, types: nestedArray.filter((one) => !(one instanceof protobuf.Service)) };
}

function serviceLines(service, known) {
  const lines = [`## ${service.name}`, '', ...paragraphs(service.comment), ''];
  for (const method of service.methodsArray) {
    const { name, comment, requestType, responseType, requestStream, responseStream } = method;
    const [takes, answers] = [
      [requestStream, requestType],
      [responseStream, responseType],
    ].map(([stream, type]) => `${stream ? 'a stream of ' : ''}${typeText(type, known)}`);
    lines.push(
      `### ${service.name}.${name}`,
      '',
      ...paragraphs(comment),
      ...(comment ? [''] : []),
      `Takes ${takes}, answers ${answers}.`,
      '',
    );
  }
  return lines;
}

function typeLines(type, known) {
  const lines = [`### ${type.name}`, '', ...paragraphs(type.comment)];
  if (type.comment) lines.push('');
  if (type instanceof protobuf.Enum) {
    const rows = Object.entries(type.values).map(([name, value]) => [
      `\`${name}\``,
      String(value),
      oneLine(type.comments[name]),
    ]);
    return [...lines, ...table(['value', 'number', 'meaning'], rows), ''];
  }
  if (type.fieldsArray.length === 0) return [...lines, 'It has no fields.', ''];
  const rows = type.fieldsArray.map((field) => [
    `\`${field.name}\``,
    fieldType(field, known),
    [choiceOf(field), oneLine(field.comment)].filter(Boolean).join(' '),
  ]);
  return [...lines, ...table(['field', 'type', 'meaning'], rows), ''];
}

function fieldType(field, known) {
  if (field instanceof protobuf.MapField) return `map of ${field.keyType} to ${typeText(field.type, known)}`;
  return field.repeated ? `list of ${typeText(field.type, known)}` : typeText(field.type, known);
}

/** Says that a field is one of several, of which one is set. */
function choiceOf({ partOf }) {
  if (!partOf || partOf.isProto3Optional || partOf.fieldsArray.length < 2) return '';
  return `One of ${partOf.fieldsArray.map(({ name }) => `\`${name}\``).join(', ')}.`;
}

function typeText(type, known) {
  const name = type.split('.').at(-1);
  return known.has(name) ? linkTo(name) : `\`${type}\``;
}

function linkTo(name) {
  return `[${name}](#${name.toLowerCase()})`;
}

function oneLine(comment) {
  return (comment ?? '').replaceAll('\n', ' ');
}

function sentence(comment) {
  return /^.*?\.(?= |$)/.exec(oneLine(comment))?.[0] ?? oneLine(comment);
}

/** A comment's lines; `INVALID_ARGUMENT, …: what it means` at the start of one is an entry of a list. */
function paragraphs(comment) {
  if (!comment) return [];
  const lines = comment.split('\n');
  const isEntry = (line) => /^[A-Z_]+(, [A-Z_]+)*: /.test(line);
  return lines.flatMap((line, index) => {
    if (!isEntry(line))
      return lines[index - 1] !== undefined && isEntry(lines[index - 1]) ? ['', line] : [line];
    return lines[index - 1] !== undefined && !isEntry(lines[index - 1]) ? ['', `- ${line}`] : [`- ${line}`];
  });
}
