import { demoLines } from '../start/banner.js';
import { colours } from '../terminal.js';
import type { LocalCluster } from './local-cluster.js';

/** What `halley cluster` prints when all is ready: where to connect, and a first push that crosses the cluster. */
export function clusterBanner(cluster: LocalCluster): string[] {
  const comet = cluster.node('comet-1').ports;
  const logic = cluster.node('logic-2').ports;
  const offset = (comet['tcp'] ?? 3101) - 3101;
  const tailAddress = offset === 0 ? '' : ` --address 127.0.0.1:${comet['tcp']}`;
  const names = ['zookeeper', 'redis', 'mariadb'] as const;
  const services = (cluster.bus === 'kafka' ? (['kafka', ...names] as const) : names).map((name) => {
    const service = cluster.service(name);
    return `${service.name} ${service.address}`;
  });
  return [
    `${colours.green('The cluster is ready.')}`,
    '',
    `  TCP        ${cluster.nodes.flatMap(at('tcp')).join('  ')}`,
    `  WebSocket  ${cluster.nodes.flatMap(at('ws', 'ws://', '/sub')).join('  ')}`,
    `  HTTP       ${cluster.nodes.flatMap(at('http', 'http://')).join('  ')}`,
    `  gRPC       ${cluster.nodes
      .filter(({ tier }) => tier === 'logic')
      .flatMap(at('grpc'))
      .join('  ')}`,
    `  services   ${services.join('  ')}`,
    `  logs       ${cluster.logs}`,
    '',
    ...demoLines(`127.0.0.1:${comet['ws']}`, `127.0.0.1:${cluster.node('comet-2').ports['ws']}`),
    '',
    'Connect as user 1 to the first comet in a second terminal:',
    `  ${colours.bold(`npx halley tail --mid 1 --room live://1000 --accepts 1000${tailAddress}`)}`,
    'and push to it through the second logic in a third:',
    `  ${colours.bold(`npx halley push --users 1 --operation 1000 --body 'hello, user' --address 127.0.0.1:${logic['grpc']}`)}`,
    `  ${colours.bold(`curl -X POST 'http://127.0.0.1:${logic['http']}/goim/push/mids?operation=1000&mids=1' -d 'hello over HTTP'`)}`,
    'Add a third comet:',
    `  ${colours.bold(`npx halley comet --join ${cluster.stateFile.file} --port-offset ${offset + 200}`)}`,
    '',
    'Ctrl-C ends it.',
  ];
}

function at(name: string, before = '', after = '') {
  return ({ ports }: { readonly ports: Readonly<Record<string, number>> }): string[] =>
    ports[name] === undefined ? [] : [`${before}127.0.0.1:${ports[name]}${after}`];
}
