import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createRawServer } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { testCertificate } from '../../testing/certificate';
import { collect } from './small-body';
import { Transport } from './transport';

const BODY = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 3));
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0)) close();
  vi.unstubAllEnvs();
});

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function transport(): Transport {
  vi.stubEnv('no_proxy', '*');
  const made = new Transport({ endpoint: 'http://127.0.0.1:1', token: undefined, stallTimeoutMs: 60_000 });
  closing.push(() => void made.close());
  return made;
}

const answers: Record<string, RequestListener> = {
  'of a known length': (_, response) => response.writeHead(200, { 'content-length': BODY.length }).end(BODY),
  'in chunks': (_, response) => {
    response.write(BODY.subarray(0, 1000));
    setTimeout(() => response.end(BODY.subarray(1000)), 20);
  },
  'that ends with its connection': (_, response) => {
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, { connection: 'close' }).end(BODY);
  },
  'after 103': (_, response) => {
    response.writeEarlyHints({ link: '</a>; rel=preload' });
    response.writeHead(200, { 'content-length': BODY.length }).end(BODY);
  },
};

describe.each(['http', 'https'])('over %s a body', (protocol) => {
  test.each(Object.entries(answers))('%s arrives, several times in turn', async (_, answer) => {
    if (protocol === 'https') vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    const server = protocol === 'https' ? createTlsServer(testCertificate(), answer) : createServer(answer);
    const client = transport();
    const url = `${protocol}://${await listen(server)}/x?y`;
    for (let turn = 0; turn < 3; turn++) {
      const response = await client.request(url);
      expect(response.status).toBe(200);
      expect((await collect(response, 1e6)).equals(BODY)).toBe(true);
    }
  });
});

test('a certificate that nobody vouches for is refused', async () => {
  const url = `https://${await listen(createTlsServer(testCertificate(), () => {}))}`;
  await expect(transport().request(url)).rejects.toThrow(/self.signed/);
});

test('a connection is used again, unless an answer was left unread or the server closes it', async () => {
  let opened = 0;
  const server = createServer((request, response) => {
    if (request.url === '/close') response.setHeader('connection', 'close');
    response.writeHead(request.url === '/moved' ? 302 : 200, { 'content-length': BODY.length }).end(BODY);
  });
  server.on('connection', () => opened++);
  const url = `http://${await listen(server)}`;
  const client = transport();
  const read = async (path: string) => collect(await client.request(url + path), 1e6);
  for (let turn = 0; turn < 3; turn++) await read('/');
  expect(opened).toBe(1);
  await read('/close');
  await read('/');
  expect(opened).toBe(2);
  (await client.request(url)).body.destroy();
  await read('/');
  expect(opened).toBe(3);
  // Two at once.
  const [first, second] = await Promise.all([client.request(url), client.request(url)]);
  expect((await collect(second, 1e6)).equals(BODY)).toBe(true);
  expect((await collect(first, 1e6)).equals(BODY)).toBe(true);
  expect(opened).toBe(4);
});

test('a sink that waits makes the connection wait, and gets each byte once', async () => {
  const server = createServer((_, response) => response.writeHead(200, { 'content-length': BODY.length }).end(BODY));
  const { body } = await transport().request(`http://${await listen(server)}`);
  const got = Buffer.alloc(BODY.length);
  let length = 0;
  let waiting = false;
  await body.receive({
    room() {
      return got.subarray(length, Math.min(got.length, length + 100_000));
    },
    async filled(bytes) {
      expect(waiting).toBe(false);
      length += bytes;
      waiting = true;
      await new Promise((resolve) => setTimeout(resolve, 5));
      waiting = false;
    },
  });
  expect(length).toBe(BODY.length);
  expect(got.equals(BODY)).toBe(true);
});

test('what a sink throws ends the connection and is thrown', async () => {
  const server = createServer((_, response) => response.writeHead(200, { 'content-length': BODY.length }).end(BODY));
  const { body } = await transport().request(`http://${await listen(server)}`);
  const full = new Error('full');
  const sink = {
    room: () => new Uint8Array(10),
    filled: () => {
      throw full;
    },
  };
  await expect(body.receive(sink)).rejects.toBe(full);
});

test.each([
  ['nothing', '', /cut/],
  ['what is not HTTP', 'hello\r\n\r\n', /Parse Error/],
  ['more than it has announced', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabcdef', /Parse Error/],
  ['less than it has announced', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabcdef', /3 bytes early/],
  ['a head without an end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`, /overflow/i],
])('a server that says %s is told of', async (_, text, message) => {
  const server = createRawServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(text));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = transport();
  await expect(client.request(url).then((response) => collect(response, 1e6))).rejects.toThrow(message);
});
