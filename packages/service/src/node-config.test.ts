import { hostname } from 'node:os';

import { expect, test } from '@jest/globals';

import { isLoopback, nodeConfig, offsetPort, resolveNode } from './node-config.js';

test('by default a node is named by its host and gRPC port and reached where it is bound', () => {
  const node = resolveNode(nodeConfig.parse({}), { grpc: 3109, tcp: 3101 }, 'grpc');
  expect(node.id).toBe(`${hostname()}:3109`);
  expect(node.addresses).toEqual({ grpc: '127.0.0.1:3109', tcp: '127.0.0.1:3101' });
  expect(node.publicAddresses).toEqual(['127.0.0.1']);
});

test('each start is another incarnation', () => {
  const config = nodeConfig.parse({});
  const first = resolveNode(config, { ops: 1 }, 'ops');
  expect(resolveNode(config, { ops: 1 }, 'ops').incarnation).not.toBe(first.incarnation);
});

test('bound to all of the host it advertises the host name, unless told otherwise', () => {
  const wide = nodeConfig.parse({ bind: '0.0.0.0', hostname: 'h1' });
  expect(resolveNode(wide, { grpc: 1 }, 'grpc').addresses).toEqual({ grpc: 'h1:1' });
  const told = nodeConfig.parse({
    bind: '0.0.0.0',
    advertise: '2001:db8::1',
    publicAddresses: ['chat.example'],
  });
  const node = resolveNode(told, { grpc: 1 }, 'grpc');
  expect(node.addresses).toEqual({ grpc: '[2001:db8::1]:1' });
  expect(node.publicAddresses).toEqual(['chat.example']);
});

test('the offset moves every port but the free one', () => {
  expect(offsetPort(3101, { portOffset: 100 })).toBe(3201);
  expect(offsetPort(0, { portOffset: 100 })).toBe(0);
});

test('loopback is loopback in every spelling', () => {
  expect(['127.0.0.1', '127.9.9.9', 'localhost', '::1'].every(isLoopback)).toBe(true);
  expect(['0.0.0.0', '::', '10.0.0.1', 'example.org'].some(isLoopback)).toBe(false);
});
