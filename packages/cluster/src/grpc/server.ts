import {
  setLogger,
  Server,
  type ServerInterceptor,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';
import { hostPort } from '@halley/service/node-config';
import { cannotBind, portTaken } from '@halley/service/port-holder';
import { HealthImplementation } from 'grpc-health-check';

import { type AuthCheck, authInterceptor } from './auth.js';
import { DEFAULT_MAX_MESSAGE_BYTES } from './client.js';
import { guardHandlers } from './handler.js';
import { CallsInProgress, observeServer } from './interceptors.js';
import { packageDefinition, plainTypes } from './protos.js';
import { withImports } from './reflected.js';
import { serverCredentials, type ServerTls } from './tls.js';

export interface GrpcServerDeps {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  /** For errors, as `logic gRPC`. */
  readonly use?: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Without a certificate, plain HTTP/2. */
  readonly tls?: ServerTls;
  /** Checks the credentials of services that are added without a check of their own. Default: none. */
  readonly auth?: AuthCheck;
  /** Run after observation and authentication. */
  readonly interceptors?: readonly ServerInterceptor[];
  /** Default 16 MiB. */
  readonly maxMessageBytes?: number;
}

type State = 'new' | 'serving' | 'stopped';

/**
 * A gRPC server with health (grpc.health.v1) and reflection, which ask for no credentials. A handler that throws costs
 * one call. Services are added before the start.
 */
export class GrpcServer implements Service {
  readonly name: string;
  readonly #server: Server;
  readonly #health = new HealthImplementation({ '': 'NOT_SERVING' });
  readonly #checks = new Map<string, AuthCheck>();
  readonly #services: string[] = [];
  readonly #inProgress = new CallsInProgress((service) => this.#services.includes(service));
  #state: State = 'new';
  #boundPort = 0;

  constructor(private readonly deps: GrpcServerDeps) {
    this.name = deps.use ?? 'gRPC server';
    const maxMessageBytes = deps.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
    // By itself grpc-js writes to standard error, about a port that is taken for instance.
    const note = (text: unknown): void => deps.log.debug({ text }, 'grpc-js');
    setLogger({ error: note, info: note, debug: note });
    this.#server = new Server({
      'grpc.max_send_message_length': maxMessageBytes,
      'grpc.max_receive_message_length': maxMessageBytes,
      // Finds dead callers; grpc-js does not refuse the pings of its clients, however many.
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 5_000,
      // Channelz stays on: without it, forceShutdown of grpc-js 1.14 finds no connections to cut.
      interceptors: [
        this.#inProgress.interceptor,
        observeServer(deps),
        authInterceptor((service) => this.#checks.get(service)),
        ...(deps.interceptors ?? []),
      ],
    });
  }

  /** The port that was bound; 0 before the start. */
  get boundPort(): number {
    return this.#boundPort;
  }

  /** Methods without a handler answer UNIMPLEMENTED. `auth` stands in for the server's own check. */
  addService(
    definition: ServiceDefinition,
    handlers: UntypedServiceImplementation,
    options: { readonly auth?: AuthCheck } = {},
  ): void {
    const path = Object.values(definition)[0]?.path ?? '';
    const service = path.split('/')[1] ?? '';
    const check = options.auth ?? this.deps.auth;
    if (check) this.#checks.set(service, check);
    this.#services.push(service);
    this.#server.addService(definition, guardHandlers(handlers));
  }

  /** Throws `bad_config` when the port is taken, naming its holder. */
  async start(): Promise<void> {
    const { host, port, tls } = this.deps;
    const credentials = await serverCredentials(tls);
    this.#health.addToServer(this.#server);
    const described = withImports(packageDefinition, plainTypes());
    new ReflectionService(described, { services: this.#services }).addToServer(this.#server);
    this.#boundPort = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(hostPort(host, port), credentials, (error, bound) => {
        if (error) reject(error);
        else resolve(bound);
      });
    }).catch(async (error: Error) => {
      this.#server.forceShutdown();
      const claim = { host, port, use: this.name };
      if (error.message.includes('EADDRINUSE')) throw await portTaken(claim);
      throw cannotBind(claim, /\bE[A-Z]{4,}\b/.exec(error.message)?.[0] ?? error.message);
    });
    this.#state = 'serving';
    for (const service of ['', ...this.#services]) this.#health.setStatus(service, 'SERVING');
  }

  /** Says NOT_SERVING, takes no new calls, and ends when those that run are done, or at the deadline without them. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#state === 'stopped') return;
    const wasServing = this.#state === 'serving';
    this.#state = 'stopped';
    if (!wasServing) {
      this.#server.forceShutdown();
      return;
    }
    for (const service of ['', ...this.#services]) this.#health.setStatus(service, 'NOT_SERVING');
    await new Promise<void>((resolve) => {
      const force = (): void => {
        clearTimeout(cutOff);
        this.#server.forceShutdown();
        resolve();
      };
      const cutOff = setTimeout(force, deadlineMs);
      this.#server.tryShutdown(() => {
        clearTimeout(cutOff);
        resolve();
      });
      // What watches the health would hold the server open for as long as it likes; answers still have to leave.
      this.#inProgress.whenNone(() => void setTimeout(force, 100).unref());
    });
  }
}
