import Compute
import Model

/// The encoder's work on one input: every layer needs all tokens at once.
@safe final class InputMemory {
    /// [tokens, hidden]: the residual stream, in the end what the encoder made of the input.
    let states: UnsafeMutablePointer<Float>
    /// [tokens, heads · headSize], of the layer at hand.
    let keys: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    private let memory: AlignedMemory

    init(tokenCount: Int, hiddenSize: Int, size: Int) throws(ModelError) {
        let byteCount = tokenCount * (hiddenSize + 2 * size) * 4
        do {
            memory = try AlignedMemory(byteCount: byteCount)
        } catch {
            throw ModelError(
                .outOfMemory, "reading an input of \(tokenCount) tokens needs \(byteCount) bytes", cause: error)
        }
        unsafe states = memory.base.assumingMemoryBound(to: Float.self)
        unsafe keys = states + tokenCount * hiddenSize
        unsafe values = keys + tokenCount * size
    }
}
