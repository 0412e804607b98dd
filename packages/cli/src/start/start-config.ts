import { HalleyError } from '@halley/protocol/error';
import { asObject, type ConfigKey, describeConfig, withoutDefaults } from '@halley/service/config-schema';
import { type ConfigSources, loadConfig, printConfig } from '@halley/service/config';
import { z } from 'zod';

/** The schemas of the tiers. */
export type TierSchemas = Readonly<Record<TierName, z.ZodObject>>;
export type TierName = 'comet' | 'logic' | 'job';

const TIERS: readonly TierName[] = ['comet', 'logic', 'job'];

/** What the embedded start has of its own. */
const dataConfig = z.object({
  dir: z.string().min(1).default('.halley/data').meta({
    description: 'Folder of the database, which keeps what was accepted; one process at a time.',
    flag: 'data-dir',
  }),
});

/** What the embedded start runs with unless it is told otherwise. */
const EMBEDDED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  auth: { mode: 'open' },
  registry: { adapter: 'embedded' },
  routes: { adapter: 'embedded' },
  bus: { adapter: 'embedded' },
  archive: { adapter: 'embedded' },
  // The chat page, and rooms that have a history and tell who has read what.
  http: { demo: true },
  push: { durableRooms: ['chat://*'] },
  receipts: { rooms: ['chat://*'] },
};

type Tree = Record<string, unknown>;

/**
 * One configuration for the three tiers in one process. A section at the top, as `session`, is for every tier that has
 * it; below `comet`, `logic` and `job` the same sections are for that tier alone and stand above. Keys whose default
 * differs between tiers, as `ops.port`, are only there.
 */
export function startSchema(tiers: TierSchemas): z.ZodObject {
  const shape: Record<string, z.ZodType> = { data: dataConfig };
  const own = ownKeys(tiers);
  for (const tier of TIERS) merge(shape, withoutDefaults(tiers[tier]).shape, own, '');
  for (const tier of TIERS) shape[tier] = withoutDefaults(tiers[tier], { aliases: false }).optional();
  return z.object(shape);
}

/** The keys as --help lists them: once each, and below a tier only those that are nowhere else. */
export function listedKeys(tiers: TierSchemas): ConfigKey[] {
  const keys = describeConfig(startSchema(tiers));
  const names = new Set(keys.map(({ key }) => key));
  const isRepeated = ({ path: [first = '', ...rest] }: ConfigKey): boolean =>
    TIERS.some((tier) => tier === first) && names.has(rest.join('.'));
  return keys.filter((key) => !isRepeated(key));
}

/** What the sources say, for each tier with all its defaults. */
export interface StartConfig<Schemas extends TierSchemas> {
  readonly dataDir: string;
  readonly tiers: { readonly [Tier in TierName]: z.output<Schemas[Tier]> };
}

/** Reads the configuration of `halley start`. Throws `bad_config`. */
export function loadStartConfig<Schemas extends TierSchemas>(
  schemas: Schemas,
  sources: ConfigSources,
): StartConfig<Schemas> {
  const said: Tree = loadConfig(startSchema(schemas), sources);
  requireEmbedded(said, { bus: 'redis' });
  for (const tier of TIERS) requireEmbedded(said[tier] as Tree | undefined);
  const one = (tier: TierName): Tree => {
    const shared = pick(said, schemas[tier]);
    const values = overlay(
      overlay(pick(EMBEDDED, schemas[tier]), shared),
      (said[tier] as Tree | undefined) ?? {},
    );
    return loadConfig(schemas[tier], { defaults: values });
  };
  const tiers = { comet: one('comet'), logic: one('logic'), job: one('job') };
  return { dataDir: (said['data'] as { dir: string }).dir, tiers: tiers as StartConfig<Schemas>['tiers'] };
}

/** `also`: another adapter that a section may have, as all tiers share it. */
function requireEmbedded(said: Tree | undefined, also: Readonly<Record<string, string>> = {}): void {
  for (const section of ['registry', 'routes', 'bus', 'archive']) {
    const { adapter } = (said?.[section] ?? {}) as { readonly adapter?: string };
    if (adapter === undefined || adapter === 'embedded' || adapter === also[section]) continue;
    throw new HalleyError(
      'bad_config',
      `${section}.adapter: ${adapter} is for tiers in processes of their own (halley comet, logic, job); halley start is always embedded, but for --bus redis`,
    );
  }
}

/** The configuration in effect as YAML, which can be read back; secrets hidden. */
export function printStartConfig(schemas: TierSchemas, config: StartConfig<TierSchemas>): string {
  const values = { data: { dir: config.dataDir }, ...config.tiers };
  return printConfig(values, z.object({ data: dataConfig, ...schemas }));
}

/** Keys that two tiers have with different defaults. */
function ownKeys(tiers: TierSchemas): Set<string> {
  const defaults = new Map<string, string | undefined>();
  const own = new Set<string>();
  for (const tier of TIERS) {
    for (const { key, defaultText } of describeConfig(tiers[tier])) {
      if (defaults.has(key) && defaults.get(key) !== defaultText) own.add(key);
      defaults.set(key, defaultText);
    }
  }
  return own;
}

function merge(
  into: Record<string, z.ZodType>,
  shape: z.core.$ZodShape,
  own: ReadonlySet<string>,
  path: string,
): void {
  for (const [name, child] of Object.entries(shape) as [string, z.ZodType][]) {
    const key = path ? `${path}.${name}` : name;
    if (own.has(key)) continue;
    const section = asObject(child);
    if (!section) {
      // What is told as the default is what holds here.
      const value = EMBEDDED[path]?.[name];
      into[name] ??= value === undefined ? child : child.meta({ ...child.meta(), default: value });
      continue;
    }
    const before = into[name] && asObject(into[name]);
    const merged: Record<string, z.ZodType> = before
      ? { ...(before.shape as Record<string, z.ZodType>) }
      : {};
    merge(merged, section.shape, own, key);
    if (Object.keys(merged).length > 0) into[name] = z.object(merged).optional();
  }
}

/** The part of a tree that the schema knows. */
function pick(tree: Readonly<Tree>, schema: z.ZodObject): Tree {
  const out: Tree = {};
  for (const [name, child] of Object.entries(schema.shape) as [string, z.ZodType][]) {
    const value = tree[name];
    if (value === undefined) continue;
    const section = asObject(child);
    out[name] = section ? pick(value as Tree, section) : value;
  }
  return out;
}

function overlay(below: Readonly<Tree>, above: Readonly<Tree>): Tree {
  const out: Tree = { ...below };
  for (const [name, value] of Object.entries(above)) {
    const before = out[name];
    out[name] = isTree(before) && isTree(value) ? overlay(before, value) : value;
  }
  return out;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
