import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

import type { Identity } from './identity.js';

/** Counts of nanoseconds: the smallest value of a bucket, and how many it holds, by growing value. */
export type Counts = readonly (readonly [valueNs: number, count: number])[];
/** Counts by name. */
export type Reasons = readonly (readonly [reason: string, count: number])[];

/**
 * The first line that a worker gets: its part of the plan. The native worker reads it as well, so the object is flat and no
 * text in it may need an escape in JSON.
 */
export interface WorkerPlan extends Identity {
  readonly do: 'plan';
  readonly version: 1 | 2;
  /** With numeric hosts. */
  readonly addresses: readonly string[];
  readonly sources: readonly string[];
  /** Index, in the whole load, of the worker's first connection. */
  readonly first: number;
  readonly connections: number;
  readonly perSecond: number;
  readonly atOnce: number;
  readonly heartbeatMs: number;
  /** In decimal digits. */
  readonly run: string;
  /** The key of every upgrade, and the answer to it. */
  readonly websocketKey: string;
  readonly websocketAccept: string;
}

/** What a worker is told: a JSON line each. The end of the lines is a stop. */
export type Command = WorkerPlan | { readonly do: 'connect' | 'sample' | 'drop' | 'stop' };

export interface ConnectedReport {
  readonly is: 'connected';
  readonly connected: number;
  readonly failed: Reasons;
  readonly retried: Reasons;
  /** CLOCK_MONOTONIC in decimal digits of nanoseconds, as all times in the lines. */
  readonly beganNs: string;
  readonly endedNs: string;
  readonly latency: Counts;
}

/** Of each figure what came since the last one, but `open` and `cpuMs`. */
export interface SampleCounts {
  /** Messages of this run. */
  readonly delivered: number;
  /** All that was read from the sockets. */
  readonly bytes: number;
  /** Came behind a later one of their sender, for the first time. */
  readonly outOfOrder: number;
  /** Came again; also what came more than 64 behind its sender's newest. */
  readonly repeated: number;
  /**
   * Left out in a sender's sequence as a connection saw it. One that comes late is taken off again, so a sample can be below
   * 0; the sum of all is what is missing. What lies ahead of a connection's first message and behind its last is not known here.
   */
  readonly missing: number;
  /** Messages of this run for another room or user than the connection's. */
  readonly strays: number;
  /** Messages that are not of this run. */
  readonly foreign: number;
  /** Heartbeats that were answered. */
  readonly heartbeats: number;
  /** Authenticated connections, now. */
  readonly open: number;
  /** Processor time of the workers since they began. */
  readonly cpuMs: number;
}

/** `lastAtNs` is of all samples too. */
export interface SampleReport extends SampleCounts {
  readonly is: 'sample';
  readonly lastAtNs: string;
  readonly closed: Reasons;
  readonly latency: Counts;
}

/**
 * What a worker answers: `ready` to the plan, `connected` when each connection is open or given up, `sample` and `dropped` at
 * once. `fault` says what was wrong with a line: with the plan as a rule.
 */
export type Report =
  | { readonly is: 'ready' | 'dropped' }
  | { readonly is: 'fault'; readonly text: string }
  | ConnectedReport
  | SampleReport;

/** A command or report as its line. */
export function lineOf(value: Command | Report): string {
  return `${JSON.stringify(value)}\n`;
}

/** Reads a line. Throws SyntaxError where it is no JSON, TypeError where it is no object. */
export function readLine(line: string): Command | Report {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null) throw new TypeError(`${line} is no line of the load side`);
  return value as Command | Report;
}

/** Calls `onLine` for each line of a stream, however it is cut. */
export function eachLine(from: Readable, onLine: (line: string) => void): void {
  createInterface({ input: from, crlfDelay: Infinity }).on('line', onLine);
}
