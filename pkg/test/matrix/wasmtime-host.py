"""Runs a command in which `WebAssembly` is Wasmtime: `python wasmtime-host.py REPORT COMMAND...`.

The command is Node with `wasmtime-face.mjs` loaded first: the package's JavaScript runs there as it is, and every
instruction of its wasm here. The two talk over a pair of pipes, one message at a time: two lengths, JSON, bytes. A message
brings the chunks of linear memory that changed since the one before, so what JavaScript sees of memory is always true.
REPORT is what ran, as JSON.
"""

import hashlib
import json
import os
import struct
import subprocess
import sys
from importlib.metadata import version

import wasmtime

CHUNK = 4096
LENGTHS = struct.Struct("<II")


class Thrown(Exception):
    """An exception of JavaScript on its way through wasm; JavaScript keeps it meanwhile."""


class Wire:
    def __init__(self, source, sink):
        self.source, self.sink = source, sink

    def send(self, message, blob=b""):
        text = json.dumps(message).encode()
        self.sink.write(LENGTHS.pack(len(text), len(blob)) + text + blob)
        self.sink.flush()

    def receive(self):
        """A message and its bytes; None when the other side has ended."""
        lengths = self.source.read(LENGTHS.size)
        if len(lengths) < LENGTHS.size:
            return None, b""
        text, blob = LENGTHS.unpack(lengths)
        return json.loads(self.source.read(text)), self.source.read(blob)


def to_wire(kind, value):
    """Floats go by their bits and 64-bit integers as texts; a reference is JavaScript's own number for it, null for null."""
    if kind == "f64":
        return struct.pack(">d", value).hex()
    if kind == "f32":
        return struct.pack(">f", value).hex()
    return str(value) if kind == "i64" else value


def from_wire(kind, value):
    if kind == "f64":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    if kind == "f32":
        return struct.unpack(">f", bytes.fromhex(value))[0]
    return int(value) if kind == "i64" else value


def kinds(types):
    return ["externref" if kind == wasmtime.ValType.externref() else str(kind) for kind in types]


class Instance:
    """One instance and what JavaScript knows of its memory."""

    def __init__(self, host, number, module):
        self.host, self.number = host, number
        # A callback must use its caller in place of the store; the innermost is the last.
        self.stores = [wasmtime.Store(host.engine)]
        self.seen = b""
        linker = wasmtime.Linker(host.engine)
        for index, wanted in enumerate(module.imports):
            linker.define_func(wanted.module, wanted.name, wanted.type, self.importing(index, wanted.type), access_caller=True)
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.types = {name: one.type(self.store) for name, one in self.exports.items()}

    @property
    def store(self):
        return self.stores[-1]

    def importing(self, index, of):
        parameters, results = kinds(of.params), kinds(of.results)

        def called(caller, *arguments):
            self.stores.append(caller)
            try:
                self.host.callbacks += 1
                args = [to_wire(kind, value) for kind, value in zip(parameters, arguments)]
                self.tell({"op": "import", "instance": self.number, "index": index, "args": args})
                answer = self.host.serve()
                if answer["op"] == "throw":
                    raise Thrown
                values = [from_wire(kind, value) for kind, value in zip(results, answer["values"])]
                return None if not values else values[0] if len(values) == 1 else values
            finally:
                self.stores.pop()

        return called

    def described(self):
        def form(of):
            if isinstance(of, wasmtime.FuncType):
                return {"kind": "function", "params": kinds(of.params), "results": kinds(of.results)}
            return {"kind": {wasmtime.MemoryType: "memory", wasmtime.TableType: "table"}.get(type(of), "other")}

        return {name: form(of) for name, of in self.types.items()}

    def call(self, name, args):
        self.host.calls += 1
        of = self.types[name]
        values = self.exports[name](self.store, *map(from_wire, kinds(of.params), args))
        results = kinds(of.results)
        return list(map(to_wire, results, values if len(results) > 1 else [values]))

    def table(self, name, method, args):
        table = self.exports[name]
        value = {"get": table.get, "set": table.set, "grow": table.grow, "size": table.size}[method](self.store, *args)
        return [value]

    def tell(self, message):
        """Sends with what changed in memory."""
        memory = self.exports["memory"]
        now = bytes(memory.get_buffer_ptr(self.store))
        chunks = []
        if now != self.seen:
            starts = range(0, len(now), CHUNK)
            chunks = [at // CHUNK for at in starts if now[at : at + CHUNK] != self.seen[at : at + CHUNK]]
        self.seen = now
        blob = b"".join(now[at * CHUNK : (at + 1) * CHUNK] for at in chunks)
        self.host.wire.send({**message, "length": len(now), "chunks": chunks}, blob)

    def take(self, chunks, blob):
        """What JavaScript wrote into memory."""
        if not chunks:
            return
        memory = self.exports["memory"]
        for place, chunk in enumerate(chunks):
            memory.write(self.store, blob[place * CHUNK : (place + 1) * CHUNK], chunk * CHUNK)
        self.seen = bytes(memory.get_buffer_ptr(self.store))


class Host:
    def __init__(self, wire):
        self.wire = wire
        self.engine = wasmtime.Engine()
        self.modules, self.instances, self.digests = [], [], []
        self.calls = self.callbacks = 0

    def serve(self):
        """Does what JavaScript asks until it answers what it was asked itself, or ends: None."""
        while True:
            message, blob = self.wire.receive()
            if message is None:
                return None
            if "instance" in message:
                self.instances[message["instance"]].take(message["chunks"], blob)
            if message["op"] in ("return", "throw"):
                return message
            self.answer(message, blob)

    def answer(self, message, blob):
        op = message["op"]
        if op == "validate":
            try:
                wasmtime.Module.validate(self.engine, blob)
                self.wire.send({"op": "done", "valid": True})
            except wasmtime.WasmtimeError:
                self.wire.send({"op": "done", "valid": False})
        elif op == "module":
            try:
                module = wasmtime.Module(self.engine, blob)
            except wasmtime.WasmtimeError as error:
                return self.wire.send({"op": "failed", "message": str(error)})
            self.modules.append(module)
            self.digests.append(hashlib.sha256(blob).hexdigest())
            wanted = [{"module": one.module, "name": one.name, "params": kinds(one.type.params), "results": kinds(one.type.results)} for one in module.imports]
            self.wire.send({"op": "done", "module": len(self.modules) - 1, "imports": wanted})
        elif op == "instantiate":
            instance = Instance(self, len(self.instances), self.modules[message["module"]])
            self.instances.append(instance)
            instance.tell({"op": "done", "number": instance.number, "exports": instance.described()})
        else:
            instance = self.instances[message["instance"]]
            try:
                act = instance.call if op == "call" else lambda name, args: instance.table(name, op, args)
                instance.tell({"op": "done", "values": act(message["name"], message["args"])})
            except Thrown:
                instance.tell({"op": "thrown"})
            except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
                instance.tell({"op": "trapped", "message": str(trap)})


def main():
    report, *command = sys.argv[1:]
    (to_face, from_host), (to_host, from_face) = os.pipe(), os.pipe()
    face = subprocess.Popen(command, pass_fds=(to_face, from_face), env={**os.environ, "WASMTIME_PIPES": f"{to_face} {from_face}"})
    # Only the command holds these now: when it ends, so does the pipe.
    os.close(to_face)
    os.close(from_face)
    host = Host(Wire(os.fdopen(to_host, "rb"), os.fdopen(from_host, "wb")))
    host.serve()
    code = face.wait()
    with open(report, "w", encoding="utf-8") as file:
        ran = {"modules": host.digests, "instances": len(host.instances), "calls": host.calls, "callbacks": host.callbacks}
        json.dump({"version": version("wasmtime"), **ran}, file)
    return code


if __name__ == "__main__":
    sys.exit(main())
