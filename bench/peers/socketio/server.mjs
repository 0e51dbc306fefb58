// The well-known exercise with Socket.IO: count up on `connection`, down on
// `disconnect`, and tell everybody.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const server = createServer();
const io = new Server(server);

let currentUsers = 0;

io.on('connection', (socket) => {
  ++currentUsers;
  io.emit('user count', currentUsers);

  socket.on('disconnect', () => {
    --currentUsers;
    io.emit('user count', currentUsers);
  });
});

server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 });
