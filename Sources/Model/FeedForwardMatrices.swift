import Compute
import Container

/// `down · (silu(gate · x) ⊙ (up · x))`, or with `gating` in place of silu, or `down · relu(up · x)` without a gate: a dense
/// layer's, the shared experts' or one routed expert's matrices. A bias of `down` is added where the experts' outputs are summed.
struct FeedForwardMatrices {
    /// [intermediate, hidden]
    let gate: Matrix?
    let up: Matrix
    /// [hidden, intermediate]
    let down: Matrix
    let gating: ClampedGating?

    init(gate: Matrix?, up: Matrix, down: Matrix, gating: ClampedGating?) {
        self.gate = gate
        self.up = up
        self.down = down
        self.gating = gating
    }

    /// A routed expert's, in its unpacked blob.
    init(blob: UnsafeRawPointer, layout: ExpertLayout, gating: ClampedGating?) {
        self.gating = gating
        let stride = layout.gateUpStride
        if layout.isGated {
            unsafe gate = Matrix(
                base: blob, shape: layout.gateShape, table: layout.gateUpTable, strideByteCount: stride)
        } else {
            gate = nil
        }
        unsafe up = Matrix(
            base: blob + layout.upOffset, shape: layout.gateShape, table: layout.gateUpTable, strideByteCount: stride)
        unsafe down = Matrix(base: blob + layout.downOffset, shape: layout.downShape, table: layout.downTable)
    }
}

/// A sparse layer's feed-forward, but for the routed experts' matrices, which come and go.
struct SparseFeedForward {
    let router: Matrix
    let choice: Router
    let shared: FeedForwardMatrices?
    /// How the routed experts join gate and up, but for their own biases; nil: by silu.
    let gating: ClampedGating?
    /// nil without.
    let biases: ExpertBiases?
    /// Width of a routed expert.
    let intermediateSize: Int

    /// How one of the experts joins gate and up.
    func gating(of expert: Int) -> ClampedGating? {
        guard let gating, let biases else { return gating }
        let first = expert * intermediateSize
        return unsafe ClampedGating(
            slope: gating.slope, limit: gating.limit, gateBiases: biases.gate + first, upBiases: biases.up + first)
    }
}

/// What the routed experts of a layer add to their products.
@safe struct ExpertBiases {
    /// [experts, intermediate]
    let gate: UnsafePointer<Float>
    let up: UnsafePointer<Float>
    /// [experts, hidden]
    let down: UnsafePointer<Float>
}
