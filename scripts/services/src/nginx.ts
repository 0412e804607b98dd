import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Progress } from './cache.js';
import { fetchDebs } from './fetch-debs.js';
import { DEBS } from './pins.js';
import { accepts } from './probe.js';
import { RunningService } from './running-service.js';

export interface NginxOptions {
  /** A private folder: nginx's prefix, to which the relative paths of the configuration refer. */
  readonly dir: string;
  /** A whole nginx.conf. `load_module modules/ngx_stream_module.so` and `include mime.types` work in it. */
  readonly config: string;
  /** The ports that the configuration listens on; the first one is the service's port. */
  readonly ports: readonly [number, ...number[]];
  readonly progress?: Progress;
}

/** Starts nginx with the stream module, without root: its pid, temporary files and log are in `dir`. */
export async function startNginx(options: NginxOptions): Promise<RunningService> {
  const root = await fetchDebs(DEBS.nginx, options.progress);
  const { dir, ports } = options;
  await mkdir(path.join(dir, 'logs'), { recursive: true });
  await cp(path.join(root, 'etc/nginx'), dir, { recursive: true });
  if (!existsSync(path.join(dir, 'modules')))
    await symlink(path.join(root, 'usr/lib/nginx/modules'), path.join(dir, 'modules'));
  const file = path.join(dir, 'halley.conf');
  await writeFile(file, withPrivatePaths(options.config));
  const service = new RunningService(
    {
      name: 'nginx',
      file: path.join(root, 'usr/sbin/nginx'),
      args: ['-p', `${dir}/`, '-c', file, '-e', 'stderr', '-g', 'daemon off; pid nginx.pid;'],
      cwd: dir,
      logFile: path.join(dir, 'nginx.log'),
      ports,
      ready: async () => (await Promise.all(ports.map((port) => accepts(port)))).every(Boolean),
      startTimeoutMs: 10_000,
    },
    dir,
    ports[0],
  );
  await service.start();
  return service;
}

/** Debian's nginx keeps what it buffers and its log where only root may write, unless it is told otherwise. */
function withPrivatePaths(config: string): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const paths = kinds.map((kind) => `${kind}_temp_path ${kind};`);
  if (!config.includes('access_log')) paths.push('access_log access.log;');
  return config.replace(/^(\s*http\s*\{)/m, `$1 ${paths.join(' ')}`);
}
