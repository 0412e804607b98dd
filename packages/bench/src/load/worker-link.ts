import type { Readable, Writable } from 'node:stream';

import { HalleyError } from '@halley/protocol/error';

import {
  eachLine,
  lineOf,
  readLine,
  type Command,
  type ConnectedReport,
  type Report,
  type SampleReport,
  type WorkerPlan,
} from './lines.js';

/** A worker's ends: the standard streams of its process, as a rule. */
export interface WorkerStreams {
  readonly commands: Writable;
  readonly reports: Readable;
  /** Resolves, to words, when the worker is no more. */
  readonly ended: Promise<string>;
}

interface Waiting {
  readonly is: Report['is'];
  readonly resolve: (report: Report) => void;
  readonly reject: (error: HalleyError) => void;
}

/** Asks one worker, and hands its answers to who asked. When the worker ends, all fails with `unavailable`. */
export class WorkerLink {
  readonly #streams: WorkerStreams;
  #waiting: Waiting[] = [];
  #fault: HalleyError | undefined;

  constructor(streams: WorkerStreams) {
    this.#streams = streams;
    eachLine(streams.reports, (line) => this.#take(readLine(line) as Report));
    // What is written to one that has ended: `ended` tells it.
    streams.commands.on('error', () => {});
    void streams.ended.then((why) =>
      this.#fail(new HalleyError('unavailable', `a load worker ended: ${why}`)),
    );
  }

  /** Gives the plan: once, ahead of all else. Throws `invalid_argument` where the worker can't do it. */
  async plan(plan: WorkerPlan): Promise<void> {
    await this.#ask(plan, 'ready');
  }

  async connect(): Promise<ConnectedReport> {
    return (await this.#ask({ do: 'connect' }, 'connected')) as ConnectedReport;
  }

  async sample(): Promise<SampleReport> {
    return (await this.#ask({ do: 'sample' }, 'sample')) as SampleReport;
  }

  async drop(): Promise<void> {
    await this.#ask({ do: 'drop' }, 'dropped');
  }

  /** Ends the worker, and waits until it has. */
  async stop(): Promise<void> {
    this.#fail(new HalleyError('unavailable', 'the load side was stopped'));
    this.#streams.commands.end(lineOf({ do: 'stop' }));
    await this.#streams.ended;
  }

  #ask(command: Command, is: Report['is']): Promise<Report> {
    if (this.#fault) return Promise.reject(this.#fault);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ is, resolve, reject });
      this.#streams.commands.write(lineOf(command));
    });
  }

  #take(report: Report): void {
    if (report.is === 'fault') {
      this.#fail(new HalleyError('invalid_argument', `a load worker: ${report.text}`));
      return;
    }
    const index = this.#waiting.findIndex(({ is }) => is === report.is);
    if (index >= 0) this.#waiting.splice(index, 1)[0]?.resolve(report);
  }

  #fail(fault: HalleyError): void {
    this.#fault ??= fault;
    for (const { reject } of this.#waiting.splice(0)) reject(fault);
  }
}
