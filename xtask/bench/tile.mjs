// The bare loop that ranklet's dense layers are set beside: a 4 x 8 tile of f32 in eight vectors over a packed panel of
// weights, and nothing else. No bias, no activation, no shape to decide: what this machine and this V8 can do at most.
// The inner loop is not unrolled: V8 11.3 makes the rolled one run at the processor's peak (42 GFLOP/s of 42 on an EPYC),
// of two steps written out 31, of four 27.5, of eight 20.

/** Rows of a tile; columns of a panel. */
const [TALL, WIDE] = [4, 8];

/** Rows that go through all panels before the next ones do: they and a panel fit the first cache. */
const BLOCK = 64;

const PAGE = 65536;

/**
 * The module as text: `dense(a, b, c, rows, width, panels)` of row-major a [rows, width], packed b [panels, width, 8],
 * row-major c [rows, 8 panels]. `rows` is a multiple of 4.
 */
export function wat() {
  const tall = [...Array(TALL).keys()];
  const sums = tall.flatMap((row) => [`s${row}0`, `s${row}1`]);
  const local = (names, type) => names.map((name) => `(local $${name} ${type})`).join(" ");
  const step = [
    "(local.set $b0 (v128.load (local.get $pb)))",
    "(local.set $b1 (v128.load offset=16 (local.get $pb)))",
    ...tall.flatMap((row) => [
      `(local.set $x (v128.load32_splat (local.get $p${row})))`,
      ...[0, 1].map((half) => {
        const sum = `$s${row}${half}`;
        return `(local.set ${sum} (f32x4.add (local.get ${sum}) (f32x4.mul (local.get $x) (local.get $b${half}))))`;
      }),
    ]),
  ];
  const advance = (name, by) => `(local.set $${name} (i32.add (local.get $${name}) ${by}))`;
  const bytes = (name) => `(i32.shl (local.get $${name}) (i32.const 2))`;
  return `(module
  (memory (export "memory") 1)
  (func (export "dense")
    (param $a i32) (param $b i32) (param $c i32) (param $rows i32) (param $width i32) (param $panels i32)
    (local $panel i32) (local $row i32) (local $k i32) (local $stride i32) (local $out i32) (local $wide i32)
    ${local(["pa", "pb", "pc", ...tall.map((row) => `p${row}`)], "i32")}
    ${local(["b0", "b1", "x", ...sums], "v128")}
    (local.set $stride ${bytes("width")})
    (local.set $wide (i32.shl (local.get $panels) (i32.const 5)))
    (loop $panels_of
      (local.set $row (i32.const 0))
      (local.set $pa (local.get $a))
      (local.set $pc (i32.add (local.get $c) (i32.shl (local.get $panel) (i32.const 5))))
      (loop $tiles
        (local.set $pb (local.get $b))
        (local.set $p0 (local.get $pa))
        ${tall.slice(1).map((row) => `(local.set $p${row} (i32.add (local.get $p${row - 1}) (local.get $stride)))`).join("\n        ")}
        ${sums.map((sum) => `(local.set $${sum} (v128.const i32x4 0 0 0 0))`).join("\n        ")}
        (local.set $k (local.get $width))
        (loop $steps
          ${step.join("\n          ")}
          ${tall.map((row) => advance(`p${row}`, "(i32.const 4)")).join("\n          ")}
          ${advance("pb", "(i32.const 32)")}
          (br_if $steps (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (local.set $out (local.get $pc))
        ${tall.map((row) => `(v128.store (local.get $out) (local.get $s${row}0))
        (v128.store offset=16 (local.get $out) (local.get $s${row}1))
        ${advance("out", "(local.get $wide)")}`).join("\n        ")}
        (local.set $pc (local.get $out))
        (local.set $pa (local.get $p${TALL - 1}))
        ${advance("row", `(i32.const ${TALL})`)}
        (br_if $tiles (i32.lt_u (local.get $row) (local.get $rows))))
      (local.set $b (local.get $pb))
      ${advance("panel", "(i32.const 1)")}
      (br_if $panels_of (i32.lt_u (local.get $panel) (local.get $panels))))))
`;
}

/**
 * One engine a layer, which computes it and nothing else. A last layer of one column fills a panel of eight: its speed
 * is that of the panel.
 *
 * @param layers [[inputs, outputs]]
 */
export async function bareLoop(module, layers, rows) {
  const engines = [];
  for (const [inputs, outputs] of layers) engines.push(await layerLoop(module, inputs, outputs, rows));
  return engines;
}

async function layerLoop(module, inputs, outputs, rows) {
  const { memory, dense } = (await WebAssembly.instantiate(module, {})).exports;
  const [panels, tall] = [Math.ceil(outputs / WIDE), Math.ceil(rows / TALL) * TALL];
  const columns = WIDE * panels;
  const starts = [0, tall * inputs, (tall + columns) * inputs].map((floats) => 4 * floats);
  const floats = (tall + columns) * inputs + tall * columns;
  memory.grow(Math.ceil((4 * floats) / PAGE));
  const values = new Float32Array(memory.buffer, 0, (tall + columns) * inputs);
  for (let i = 0; i < values.length; i++) values[i] = ((i * 37) % 255) / 128 - 1;
  const [a, b, c] = starts;
  return {
    name: `bare ${inputs} x ${outputs}`,
    layer: { inputs, outputs, multiplyAdds: rows * inputs * columns },
    filled: outputs / columns,
    async batch(_list, calls) {
      const start = performance.now();
      for (let call = 0; call < calls; call++) {
        for (let row = 0; row < tall; row += BLOCK) {
          dense(a + 4 * row * inputs, b, c + 4 * row * columns, Math.min(BLOCK, tall - row), inputs, panels);
        }
      }
      return performance.now() - start;
    },
  };
}
