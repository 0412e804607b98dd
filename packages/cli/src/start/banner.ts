import type { NodeRecord } from '@halley/cluster/registry/registry';

import { colours } from '../terminal.js';

/** The nodes of an embedded start. */
export interface StartedNodes {
  readonly comet: NodeRecord;
  readonly logic: NodeRecord;
  readonly job: NodeRecord;
}

/** What `halley start` prints when it is ready: where to connect, and a first push to try that works as printed. */
export function banner(
  { comet, logic, job }: StartedNodes,
  { dataDir, demo }: { readonly dataDir: string; readonly demo: boolean },
): string[] {
  const { tcp, ws, wss, tls } = comet.addresses;
  const { http, grpc } = logic.addresses;
  const places: [string, string | undefined][] = [
    ['TCP', tcp],
    ['TCP with TLS', tls],
    ['WebSocket', ws && `ws://${ws}/sub`],
    ['WebSocket, TLS', wss && `wss://${wss}/sub`],
    ['HTTP', http && `http://${http}`],
    ['gRPC', grpc],
    [
      'metrics',
      [comet, logic, job]
        .flatMap((node) => (node.addresses.ops ? [`http://${node.addresses.ops}/metrics`] : []))
        .join('  '),
    ],
  ];
  const tailAddress = tcp === undefined || tcp === '127.0.0.1:3101' ? '' : ` --address ${tcp}`;
  const pushAddress = grpc === undefined || grpc === '127.0.0.1:3119' ? '' : ` --address ${grpc}`;
  return [
    `${colours.green('Halley is ready')}: all tiers in this process, what it accepts kept in ${dataDir}.`,
    '',
    ...places.filter(([, place]) => place).map(([name, place]) => `  ${name.padEnd(14)}  ${place}`),
    ...(demo && ws ? ['', ...demoLines(ws)] : []),
    '',
    'Connect as user 1 in a second terminal:',
    `  ${colours.bold(`npx halley tail --mid 1 --room live://1000 --accepts 1000${tailAddress}`)}`,
    'and push to it in a third:',
    `  ${colours.bold(`npx halley push --users 1 --operation 1000 --body 'hello, user'${pushAddress}`)}`,
    `  ${colours.bold(`curl -X POST 'http://${http ?? ''}/goim/push/mids?operation=1000&mids=1' -d 'hello over HTTP'`)}`,
    '',
    'Ctrl-C ends it.',
  ];
}

/** Where the chat page is, for two people; addresses are comets' of WebSocket, `host:port`. */
export function demoLines(first: string, second = first): string[] {
  const as = (name: string, at: string): string => colours.bold(`http://${at}/?as=${name}`);
  return ['Two people chat, in two windows of a browser:', `  ${as('alice', first)}   ${as('bob', second)}`];
}
