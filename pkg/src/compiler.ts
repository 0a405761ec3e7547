/** The compile module's boundary as the face sees it. The generated class has this shape. @internal */
export interface Compiler {
  /** `weights` and `tolerance`: how weights are stored, and how far a score may move for it; `dims` a NAME=VALUE a line. */
  model(
    name: string,
    onnx: Uint8Array,
    golden: Uint8Array | undefined,
    weights: string | undefined,
    tolerance: number | undefined,
    dims: string,
  ): Uint8Array<ArrayBuffer>;
  /** `form` is that of the text; `onnx`, where given, stands for the file that the specification calls its model. */
  spec(
    text: string,
    form: "json" | "toml",
    onnx: Uint8Array | undefined,
    read: (path: string) => Uint8Array,
    golden: Uint8Array | undefined,
    weights: string | undefined,
    tolerance: number | undefined,
    dims: string,
  ): Uint8Array<ArrayBuffer>;
  report(): CompileReport;
}

/** What `dist/compiler.js` exports. The module is too large to be instantiated at once on a page's thread. @internal */
export type MakeCompiler = (module: WebAssembly.Module) => Promise<{ Compiler: new () => Compiler }>;

/** How a model's weights are stored. */
export type WeightForm = "f32" | "f16" | "bf16" | "int8";

/** What small weights are and do. */
export interface SmallWeights {
  /** The form asked for. */
  form: WeightForm;
  /** Matrices stored as int8. */
  int8: number;
  /** Matrices and tables stored with 16 bits. */
  half: number;
  /** Matrices and tables left in f32. */
  f32: number;
  /** Bytes of all weights as stored, scales included. */
  bytes: number;
  /** Bytes of the same weights in f32. */
  bytesF32: number;
  /** Largest |score - f32 score| / max(1, |f32 score|) on all rows checked. */
  largestError: number;
  /**
   * 1 - NDCG of the order by these scores, where the order by f32 scores is the truth; the worst output column. Rows form
   * lists of at most 100; a row's gain is the share of its list that its f32 score is above.
   */
  ndcgLoss: number;
  /** Whole-number outputs (labels) that changed. */
  labelsChanged: number;
}

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
  /** What smaller weights than f32 do, where they were asked for. */
  weights?: SmallWeights;
  /** Form of each calibrator. */
  calibrators: string[];
  /** Things worth knowing that stop nothing. */
  warnings: string[];
}
