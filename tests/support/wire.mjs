// A wire to the server that can be cut: nothing comes through any more, and
// nobody is told. (That is how a network is lost, not how a process ends.)

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export async function startWire(t, server) {
  const sockets = new Set();
  let isCut = false;
  const cut = new WeakSet();
  const wire = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    if (isCut) [near, far].forEach((socket) => cut.add(socket));
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('data', (bytes) => cut.has(socket) || other.write(bytes));
      socket.once('close', () => {
        sockets.delete(socket);
        if (!cut.has(socket)) other.destroy();
      });
    }
  });
  wire.listen(0, '127.0.0.1');
  await once(wire, 'listening');
  t.after(() => {
    wire.close();
    sockets.forEach((socket) => socket.destroy());
  });
  return {
    url: `http://127.0.0.1:${wire.address().port}`,
    cut: () => {
      isCut = true;
      sockets.forEach((socket) => cut.add(socket));
    },
    /** New connections come through; those that were there stay silent for ever. */
    mend: () => {
      isCut = false;
    },
  };
}
