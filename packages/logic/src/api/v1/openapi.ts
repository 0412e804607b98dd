import { ERRORS, type ErrorCode } from '@halley/protocol/error';
import { VERSION } from '@halley/service/version';
import { z } from 'zod';
import {
  createDocument,
  type oas31,
  type ZodOpenApiObject,
  type ZodOpenApiOperationObject,
  type ZodOpenApiOverride,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';

import { IDEMPOTENCY_KEY_HEADER, TIMEOUT_HEADER } from './headers.js';
import { problemSchema, PROBLEM_TYPE } from './problem.js';
import type { V1Route } from './route.js';
import { V1_ROUTES } from './routes.js';

const INTRODUCTION = `How a business service pushes to clients, asks who is connected, closes connections and reads what was pushed. Every logic serves all of it.

A failure is told as problem details (RFC 9457) with a stable \`code\`. Of a call that changes something, \`outcome\` says whether it is \`refused\` (it will never come about) or \`unknown\` (it may; repeat it with the same id).`;

const TAGS = {
  Push: 'Messages to users, connections, rooms and everyone.',
  Schedules: 'What waits for its time, and what comes again and again.',
  Connections: 'Who is connected, and closing connections.',
  Ledger: 'What became of pushes.',
  History: 'What was pushed before.',
  'Dead letters': 'Records that could not be taken in.',
  Cluster: 'The nodes.',
};

/** Failures of every call. */
const COMMON: readonly ErrorCode[] = ['invalid_argument', 'unauthenticated', 'permission_denied', 'internal'];

let text: string | undefined;

/** The OpenAPI document, as it is served and committed. */
export function openApiText(): string {
  text ??= `${JSON.stringify(openApiDocument(), undefined, 2)}\n`;
  return text;
}

/** An OpenAPI document. */
export type OpenApiDocument = oas31.OpenAPIObject;

/** The OpenAPI 3.1 document of `/v1`, made from the schemas that check what comes. */
export function openApiDocument(): OpenApiDocument {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of V1_ROUTES) {
    (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route);
  }
  const document: ZodOpenApiObject = {
    openapi: '3.1.0',
    info: {
      title: 'Halley, the business API',
      version: VERSION,
      description: INTRODUCTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:3111', description: 'A logic on this machine' }],
    tags: Object.entries(TAGS)
      .filter(([name]) => V1_ROUTES.some(({ tag }) => tag === name))
      .map(([name, description]) => ({ name, description })),
    security: [{ bearer: [] }, { apiKey: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key (api.keys). Not needed where none is set.',
        },
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'x-api-key',
          description: 'The same in a header of its own.',
        },
      },
    },
  };
  return createDocument(document, { override: openReplies });
}

/** What is answered may get more fields, and its numbers are as large as they are: only what is sent has bounds. */
const openReplies: ZodOpenApiOverride = ({ jsonSchema, io }) => {
  if (io !== 'output') return;
  if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
};

function operationOf(route: V1Route): ZodOpenApiOperationObject {
  const { params, query, body, examples } = route;
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: `${route.description}\n\nNeeds a key with the scope ${[route.scope]
      .flat()
      .map((scope) => `\`${scope}\``)
      .join(' or ')}.`,
    requestParams: {
      ...(params && { path: params }),
      ...(query && { query }),
      header: z.object({
        [TIMEOUT_HEADER]: z.int().min(1).max(600_000).optional().meta({
          description: 'How long the caller waits for the answer, milliseconds.',
        }),
        ...(route.pushes &&
          route.id === 'push' && {
            [IDEMPOTENCY_KEY_HEADER]: z.string().max(130).optional().meta({
              description: 'The message id, where `id` is left out.',
            }),
          }),
        traceparent: z.string().optional().meta({ description: 'W3C trace context.' }),
      }),
    },
    ...(body && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: body, ...(examples && { examples }) } },
      },
    }),
    responses: responsesOf(route),
  };
}

function responsesOf({ reply, replyExample, errors = [] }: V1Route): ZodOpenApiResponsesObject {
  const responses: ZodOpenApiResponsesObject = {
    200: {
      description: 'OK',
      content: {
        'application/json': { schema: reply, ...(replyExample !== undefined && { example: replyExample }) },
      },
    },
  };
  const codes = [...new Set([...COMMON, ...errors])];
  for (const status of [...new Set(codes.map((code) => ERRORS[code].http))].toSorted((a, b) => a - b)) {
    const those = codes.filter((code) => ERRORS[code].http === status);
    responses[`${status}` as '400'] = {
      description: those.map((code) => `\`${code}\`: ${ERRORS[code].text}`).join('\n\n'),
      content: { [PROBLEM_TYPE]: { schema: problemSchema } },
      ...((status === 429 || status === 503) && {
        headers: z.object({
          'Retry-After': z
            .int()
            .optional()
            .meta({ description: 'Seconds to wait before a repeat, where there is such a hint.' }),
        }),
      }),
    };
  }
  return responses;
}
