// better-sse as its guide to channels writes it: a channel that tells its sessions
// how many they are whenever one is registered or gone.

import { createChannel, createSession } from 'better-sse';
import express from 'express';

const users = createChannel();

const broadcastUserCount = () => {
  users.broadcast(users.sessionCount, 'user count');
};

users.on('session-registered', broadcastUserCount).on('session-deregistered', broadcastUserCount);

const app = express();

app.get('/events', async (req, res) => {
  const session = await createSession(req, res);
  users.register(session);
});

app.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 });
