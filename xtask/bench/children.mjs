// Native peers, each in a process of its own that times itself and is asked for one batch after the other.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Starts a peer: `{ name, version, of(model), close() }`; the version where the peer knows it best. */
export async function openChild(name, [program, ...args]) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${name} ended; see its message above`);
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(answer.error);
    return answer;
  };
  const ask = (question) => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    return read();
  };
  const { version } = await read();
  return {
    name,
    version,
    of: (model) => ({
      name,
      async outputs({ rows }) {
        const { outputs } = await ask({ model: model.name, rows, calls: 0 });
        return Object.fromEntries(model.outputs.map(({ name }, i) => [name, outputs[i]]));
      },
      batch: async ({ rows, vary }, calls) => (await ask({ model: model.name, rows, calls, vary })).ms,
      dispose: () => {},
    }),
    close: () => child.stdin.end(),
  };
}
