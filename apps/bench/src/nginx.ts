import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Nginx {
  readonly url: string;
  readonly child: ChildProcess;
}

/** Serves one file at every address, from the page cache by sendfile, as fast as a server can. Needs `nginx` on the PATH. */
export async function startNginx(dir: string, file: string): Promise<Nginx> {
  const port = await freePort();
  await mkdir(dir, { recursive: true });
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`);
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const config = `daemon off; worker_processes 1; pid nginx.pid; error_log stderr; ${user}
    events {}
    http {
      access_log off; sendfile on; keepalive_requests 1000000; ${folders.join(' ')}
      server { listen 127.0.0.1:${port}; root ${path.dirname(file)}; location / { try_files /${path.basename(file)} =404; } }
    }`;
  const configFile = path.join(dir, 'nginx.conf');
  await writeFile(configFile, config);
  const child = spawn('nginx', ['-p', dir, '-c', configFile], { stdio: ['ignore', 'inherit', 'inherit'] });
  await once(child, 'spawn');
  const url = `http://127.0.0.1:${port}`;
  for (let attempt = 0; ; attempt++) {
    const answered = await fetch(url, { method: 'HEAD' }).catch(() => null);
    if (answered?.ok) return { url, child };
    if (attempt === 50 || child.exitCode !== null) throw new Error('nginx does not answer');
    await sleep(100);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
