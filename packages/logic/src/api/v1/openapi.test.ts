import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, test } from '@jest/globals';

import { openApiDocument, openApiText } from './openapi.js';
import { parse } from './input.js';
import { pushExamples } from './push-examples.js';
import { contentFields, pushSchema } from './push-schema.js';
import { V1_ROUTES } from './routes.js';

describe('the OpenAPI document', () => {
  test('is valid', async () => {
    const { valid, errors } = await new Validator().validate(
      JSON.parse(openApiText()) as Record<string, unknown>,
    );
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
  });

  test('has each path once, under an operationId of its own', () => {
    const ids = V1_ROUTES.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const documented = Object.entries(openApiDocument().paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method} ${path}`),
    );
    const routes = V1_ROUTES.map(({ method, path }) => `${method.toLowerCase()} ${path}`);
    expect(documented.toSorted()).toEqual(routes.toSorted());
  });
});

describe('the examples', () => {
  const examples = V1_ROUTES.flatMap(({ id, body, examples = {} }) =>
    Object.entries(examples).map(([name, { value }]) => ({ id, name, body, value })),
  );
  test.each(examples)('$id $name is what the schema takes', ({ body, value }) => {
    expect(() => parse(body!, value)).not.toThrow();
  });

  test('every option of a push has one', () => {
    const used = new Set(
      Object.values(pushExamples).flatMap(({ value }) => Object.keys(Object(value) as object)),
    );
    const options = [...Object.keys(contentFields), ...Object.keys(pushSchema.in.shape)];
    expect(options.filter((option) => !used.has(option))).toEqual([]);
  });

  const replies = V1_ROUTES.filter(({ replyExample }) => replyExample !== undefined);
  test.each(replies)('what $id is said to answer is what its schema says', ({ reply, replyExample }) => {
    expect(parse(reply, replyExample)).toEqual(replyExample);
  });
});
