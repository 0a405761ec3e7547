import { spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import type { Answer } from "./app.js";

const TRIES = 300;

/** A program, its arguments and the folder it runs in. */
export type Program = [program: string, args: readonly string[], cwd: string];

/** What a server that was started for this alone answers at a path of its own port. */
export async function answerOfServer(start: (port: number) => Program, path = "/"): Promise<Answer> {
  const port = await freePort();
  const [program, args, cwd] = start(port);
  // In a process group of its own, since a server may start others.
  const child = spawn(program, args, { cwd, detached: true, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (part) => (said += part));
  try {
    return await asks(`http://127.0.0.1:${port}${path}`, () => said);
  } finally {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, "SIGKILL");
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

async function asks(url: string, said: () => string): Promise<Answer> {
  for (let tries = 0; tries < TRIES; tries++) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return (await response.json()) as Answer;
    if (response) throw new Error(`${response.status}: ${await response.text()}\n${said()}`);
    await new Promise((later) => setTimeout(later, 100));
  }
  throw new Error(`the server does not answer: ${said()}`);
}
