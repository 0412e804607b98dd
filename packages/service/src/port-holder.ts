import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';

import { HalleyError } from '@halley/protocol/error';

import { hostPort } from './node-config.js';

/** A start beside another takes its ports this much further on. */
const OFFSET_STEP = 100;

/** A port that a process is about to bind. */
export interface PortClaim {
  readonly host: string;
  readonly port: number;
  /** What it is for, as `comet TCP`. */
  readonly use?: string;
  /** The largest port offset in use at this start; the remedy names the next one. */
  readonly offset?: number;
}

/** A process, as /proc shows it. */
export interface ProcessInfo {
  readonly pid: number;
  readonly command: string;
}

/**
 * Tries to bind every port and lets go of it again, so that a start that cannot work ends before anything is opened.
 * Throws `bad_config` naming the first taken port, who holds it and the remedy. Port 0 is never taken.
 */
export async function requireFreePorts(claims: readonly PortClaim[]): Promise<void> {
  for (const claim of claims) {
    if (claim.port === 0) continue;
    const code = await tryPort(claim);
    if (code === 'EADDRINUSE') throw await portTaken(claim);
    if (code) throw cannotBind(claim, code);
  }
}

/** The error for a port that somebody else has. */
export async function portTaken(claim: PortClaim): Promise<HalleyError> {
  const holder = await findPortHolder(claim.port);
  const who = holder ? `by pid ${holder.pid} (${holder.command})` : 'by another process';
  const use = claim.use ? `${claim.use} ` : '';
  const remedy =
    claim.offset === undefined ? 'another --port-offset' : `--port-offset ${claim.offset + OFFSET_STEP}`;
  return new HalleyError(
    'bad_config',
    `${use}port ${hostPort(claim.host, claim.port)} is taken ${who}; stop it, or start with ${remedy}`,
  );
}

/** The error for an address that cannot be bound for another reason. */
export function cannotBind(claim: PortClaim, code: string): HalleyError {
  const reason =
    code === 'EADDRNOTAVAIL'
      ? 'this machine has no such address; set --bind to one that it has'
      : code === 'EACCES'
        ? 'not permitted; ports below 1024 need a privilege'
        : code;
  return new HalleyError('bad_config', `cannot bind ${hostPort(claim.host, claim.port)}: ${reason}`);
}

/** Who listens on a TCP port, on Linux; undefined elsewhere, or when it is another user's process. */
export async function findPortHolder(port: number): Promise<ProcessInfo | undefined> {
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const inode of listeningInodes(await readText(table), port)) inodes.add(inode);
  }
  if (inodes.size === 0) return undefined;
  const entries = await readdir('/proc').catch(() => []);
  for (const pid of entries.filter((name) => /^\d+$/.test(name))) {
    if (await holds(pid, inodes)) return { pid: Number(pid), command: await commandOf(Number(pid)) };
  }
  return undefined;
}

/** The command line of a process, shortened; `unknown command` when it cannot be read. */
export async function commandOf(pid: number): Promise<string> {
  const text = (await readText(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ').trim();
  if (!text) return 'unknown command';
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}

/** Inodes of the sockets that listen on `port`, from the text of /proc/net/tcp. */
export function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes: string[] = [];
  for (const line of table.split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    const inode = columns[9];
    if (columns[1]?.endsWith(suffix) && columns[3] === '0A' && inode) inodes.push(inode);
  }
  return inodes;
}

async function holds(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  for (const fd of await readdir(folder).catch(() => [])) {
    const target = await readlink(`${folder}/${fd}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}

function tryPort({ host, port }: PortClaim): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

async function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}
