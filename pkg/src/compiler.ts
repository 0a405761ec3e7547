/** The compile module's boundary as the face sees it. The generated class has this shape. @internal */
export interface Compiler {
  model(name: string, onnx: Uint8Array, golden: Uint8Array | undefined): Uint8Array<ArrayBuffer>;
  /** `form` is that of the text; `onnx`, where given, stands for the file that the specification calls its model. */
  spec(
    text: string,
    form: "json" | "toml",
    onnx: Uint8Array | undefined,
    read: (path: string) => Uint8Array,
    golden: Uint8Array | undefined,
  ): Uint8Array<ArrayBuffer>;
  report(): CompileReport;
}

/** What `dist/compiler.js` exports. The module is too large to be instantiated at once on a page's thread. @internal */
export type MakeCompiler = (module: WebAssembly.Module) => Promise<{ Compiler: new () => Compiler }>;

/** What a compile did, for people. */
export interface CompileReport {
  /** Length of the bundle. */
  bytes: number;
  /** Steps of the plan. */
  steps: number;
  /** Rows on which the plan was compared with the graph's own definition. */
  checkedRows: number;
  /** Rows compared with ONNX Runtime's outputs. */
  goldenRows: number;
  /** Largest |plan - expected| / max(1, |expected|) seen. */
  largestDifference: number;
  /** Form of each calibrator. */
  calibrators: string[];
  /** Things worth knowing that stop nothing. */
  warnings: string[];
}
