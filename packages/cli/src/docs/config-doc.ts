import { type ConfigKey, describeConfig, RESERVED_ENVIRONMENT } from '@halley/service/config';

import type { TierName, TierSchemas } from '../start/start-config.js';

const TIERS: readonly TierName[] = ['comet', 'logic', 'job'];

const INTRODUCTION = `# Configuration

<!-- Generated from the tiers' config.ts by \`npm run docs\`. Do not edit. -->

Each process reads one YAML file (\`--config FILE\`, or \`HALLEY_CONFIG\`), the environment, and flags. The later wins:

| | file | environment | flag |
|---|---|---|---|
| \`tcp.port\` | \`tcp: { port: 3101 }\` | \`HALLEY_TCP_PORT=3101\` | \`--tcp.port 3101\` |
| \`session.handshakeTimeoutMs\` | \`session: { handshakeTimeoutMs: 8000 }\` | \`HALLEY_SESSION_HANDSHAKE_TIMEOUT_MS=8000\` | \`--session.handshakeTimeoutMs=8000\` |

- A list is separated by commas in the environment and in flags, and a flag can be repeated. A list of objects is written as YAML:
  \`--api.keys '[{ name: shop, key: … }]'\`.
- An empty variable counts as not set. A switch needs no value: \`--insecure\`.
- An unknown key, variable (\`HALLEY_…\`) or flag ends the start with one line that names the nearest one.
- \`--check-config\` says whether the configuration is right, \`--print-config\` prints it as it is in effect, secrets hidden.
- goim's variables REGION, ZONE, DEPLOY_ENV, HOST, WEIGHT and ADDRS work; ours stand above them.

## One process: \`halley start\`

All tiers run in one process and read one file. A section at the top is for every tier that has it; a section below \`comet\`,
\`logic\` or \`job\` is for that tier alone and stands above. Keys whose default differs between tiers, as \`ops.port\`, are only there:

\`\`\`yaml
session:
  handshakeTimeoutMs: 5000 # every tier that has it
log:
  level: warn # all three
comet:
  ops:
    port: 4104 # comet alone: --comet.ops.port, HALLEY_COMET_OPS_PORT
data:
  dir: .halley/data # also --data-dir
\`\`\`

There \`auth.mode\` is \`open\` unless set, and the registry, the routes and the bus are always the embedded ones.
`;

/** The text of docs/config.md. */
export function configDoc(schemas: TierSchemas): string {
  const lines = [INTRODUCTION, '## Sections', ''];
  for (const [title, table] of sectionTables(schemas)) lines.push(`### ${title}`, '', ...table, '');
  lines.push('## Other variables', '', '| variable | |', '|---|---|');
  for (const [name, text] of Object.entries(RESERVED_ENVIRONMENT)) lines.push(`| \`${name}\` | ${text} |`);
  return `${lines.join('\n')}\n`;
}

/** A table for each section; tiers whose section is the same share one. */
function sectionTables(schemas: TierSchemas): [string, string[]][] {
  const sections = new Map<string, { table: string[]; tiers: TierName[] }[]>();
  for (const tier of TIERS) {
    for (const [section, keys] of bySection(describeConfig(schemas[tier]))) {
      const table = keyTable(keys);
      const variants = sections.get(section) ?? [];
      sections.set(section, variants);
      const same = variants.find((variant) => variant.table.join() === table.join());
      if (same) same.tiers.push(tier);
      else variants.push({ table, tiers: [tier] });
    }
  }
  return [...sections].flatMap(([section, variants]) =>
    variants.map(({ table, tiers }): [string, string[]] => [`${section} (${tiers.join(', ')})`, table]),
  );
}

function bySection(keys: readonly ConfigKey[]): Map<string, ConfigKey[]> {
  const sections = new Map<string, ConfigKey[]>();
  for (const key of keys) {
    const [section = ''] = key.path;
    sections.set(section, [...(sections.get(section) ?? []), key]);
  }
  return sections;
}

function keyTable(keys: readonly ConfigKey[]): string[] {
  const head = ['| key | type | default | range | |', '|---|---|---|---|---|'];
  return [...head, ...keys.map((key) => `| ${cells(key).map(escapeCell).join(' | ')} |`)];
}

function cells(key: ConfigKey): string[] {
  const names = [`\`${key.key}\``, ...[...key.flagAliases, ...key.envAliases].map((name) => `\`${name}\``)];
  const unit = key.unit === undefined ? '' : `, ${key.unit}`;
  const range = [
    key.range?.replace(/^(of|that is) /, ''),
    key.sane === undefined ? undefined : `sensible: ${key.sane}`,
  ];
  const secret = key.secret ? ' Secret: never printed.' : '';
  return [
    names.join('<br>'),
    `${key.type}${unit}`,
    key.defaultText === undefined || key.defaultText === '""' ? '' : `\`${key.defaultText}\``,
    range.filter(Boolean).join('; '),
    `${key.description}${secret}`,
  ];
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
