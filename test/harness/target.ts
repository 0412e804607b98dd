/** The addresses that a suite talks to. comet's three must be one comet's, logic's two may be another host's. */
export interface Target {
  /** comet, `host:port`. */
  readonly tcp: string;
  /** comet, `ws://host:port/sub`. */
  readonly ws: string;
  /** comet, `host:port`. */
  readonly cometGrpc: string;
  /** logic, `http://host:port`. */
  readonly logicHttp: string;
  /** logic, `host:port`. */
  readonly logicGrpc: string;
}

const VARIABLES = {
  tcp: 'HALLEY_CONFORMANCE_TCP',
  ws: 'HALLEY_CONFORMANCE_WS',
  cometGrpc: 'HALLEY_CONFORMANCE_COMET_GRPC',
  logicHttp: 'HALLEY_CONFORMANCE_LOGIC_HTTP',
  logicGrpc: 'HALLEY_CONFORMANCE_LOGIC_GRPC',
} as const;

/** What of a target is to be known for the suite of version 2; empty: it is not so, or not known. */
export interface TargetTraits {
  /** Its tokens are JSON Web Tokens with this HS256 secret; empty: goim's plain token. */
  readonly jwtSecret: string;
  /** Rooms of this type are durable. */
  readonly durableType: string;
}

/** The traits that the environment names. */
export function traitsFromEnv(env: NodeJS.ProcessEnv): TargetTraits {
  return {
    jwtSecret: env.HALLEY_CONFORMANCE_JWT_SECRET ?? '',
    durableType: env.HALLEY_CONFORMANCE_DURABLE_TYPE ?? '',
  };
}

/** The target that the environment names: all five variables, or none, which is undefined. */
export function targetFromEnv(env: NodeJS.ProcessEnv): Target | undefined {
  const names = Object.values(VARIABLES);
  const missing = names.filter((name) => !env[name]);
  if (missing.length === names.length) return undefined;
  if (missing.length > 0) throw new Error(`to test an address, set ${missing.join(', ')} too`);
  const read = (name: string): string => env[name] ?? '';
  return {
    tcp: read(VARIABLES.tcp),
    ws: read(VARIABLES.ws),
    cometGrpc: read(VARIABLES.cometGrpc),
    logicHttp: read(VARIABLES.logicHttp),
    logicGrpc: read(VARIABLES.logicGrpc),
  };
}
