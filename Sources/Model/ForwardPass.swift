/// Tokens on their way through the layers: a chunk of one prompt, or the next token of each of several sequences.
///
/// A model has one of each kind, whose memory is used again and again: between two layers of a chunk others may take
/// their steps.
@safe package final class ForwardPass {
    /// One token.
    @safe package struct Row {
        package let position: Int
        /// Of the sequence's input, in an encoder-decoder.
        package let inputCount: Int
        /// Which of the pass's sequences it belongs to.
        package let sequence: Int
        /// Where that one's past stands; its state outlives the pass.
        package let blocks: UnsafePointer<UnsafeMutableRawPointer>
        /// Off in a prompt.
        let lossy: LossyRouting
    }

    /// [rows, hidden]: the residual stream.
    package let hidden: UnsafeMutablePointer<Float>
    /// [rows, rope / 2], the same for every layer and head.
    let cosines: UnsafeMutablePointer<Float>
    let sines: UnsafeMutablePointer<Float>
    private let hiddenSize: Int
    private let pairCount: Int

    private(set) var form = AttentionForm.absorbed
    package private(set) var rows: [Row] = []
    /// [sequences]: why one gets no further.
    package private(set) var failures: [ModelError?] = []
    /// Whether any row was added that isn't to be routed by the routers alone.
    private(set) var isLossy = false
    /// [sequences]
    private(set) var lossyUses: [LossyRouting.Use] = []
    /// [sequences]: what experts with a capacity have taken of each.
    private(set) var expertUses: [ExpertUses?] = []
    /// Sequences whose rows go on.
    private(set) var livingCount = 0
    /// Whether those who need an expert that is slow to come fail, so that the others needn't wait.
    private(set) var stepsAside = false

    init(
        hidden: UnsafeMutablePointer<Float>, cosines: UnsafeMutablePointer<Float>,
        sines: UnsafeMutablePointer<Float>, hiddenSize: Int, pairCount: Int, rowCapacity: Int
    ) {
        unsafe self.hidden = hidden
        unsafe self.cosines = cosines
        unsafe self.sines = sines
        self.hiddenSize = hiddenSize
        self.pairCount = pairCount
        rows.reserveCapacity(rowCapacity)
        failures.reserveCapacity(rowCapacity)
        lossyUses.reserveCapacity(rowCapacity)
        expertUses.reserveCapacity(rowCapacity)
    }

    package var count: Int { rows.count }

    /// Begins anew for so many sequences, without rows.
    package func begin(sequences: Int, form: AttentionForm, stepsAside: Bool) {
        self.form = form
        self.stepsAside = stepsAside
        rows.removeAll(keepingCapacity: true)
        failures.removeAll(keepingCapacity: true)
        lossyUses.removeAll(keepingCapacity: true)
        expertUses.removeAll(keepingCapacity: true)
        for _ in 0..<sequences {
            failures.append(nil)
            lossyUses.append(LossyRouting.Use())
            expertUses.append(nil)
        }
        isLossy = false
        livingCount = sequences
    }

    /// Adds a token that is to stand at a position of a state.
    package func append(
        position: Int, sequence: Int, state: DecodingState, rotary: RotaryTable, lossy: LossyRouting = .off
    ) {
        let start = rows.count * pairCount
        var cosines = unsafe MutableSpan(_unsafeStart: self.cosines + start, count: pairCount)
        var sines = unsafe MutableSpan(_unsafeStart: self.sines + start, count: pairCount)
        rotary.fill(position: position, cosines: &cosines, sines: &sines)
        unsafe rows.append(
            Row(
                position: position, inputCount: state.inputCount, sequence: sequence,
                blocks: UnsafePointer(state.addresses), lossy: lossy))
        if !lossy.isOff { isLossy = true }
        if let uses = state.expertUses { expertUses[sequence] = uses }
    }

    func count(_ use: LossyRouting.Use, of sequence: Int) { lossyUses[sequence] += use }

    package func fail(_ sequence: Int, _ error: ModelError) {
        guard failures[sequence] == nil else { return }
        failures[sequence] = error
        livingCount -= 1
    }

    /// Asks for each sequence whether it is still wanted. False once none goes on.
    package func poll(_ cancelled: (Int) -> Bool) -> Bool {
        for sequence in failures.indices where failures[sequence] == nil && cancelled(sequence) {
            fail(sequence, .cancelled)
        }
        return livingCount > 0
    }

    /// Takes out the rows of sequences that failed.
    package func dropFailedRows() {
        guard livingCount < failures.count else { return }
        var kept = 0
        for index in rows.indices where failures[rows[index].sequence] == nil {
            if kept < index {
                rows[kept] = rows[index]
                unsafe (hidden + kept * hiddenSize).update(from: hidden + index * hiddenSize, count: hiddenSize)
                unsafe (cosines + kept * pairCount).update(from: cosines + index * pairCount, count: pairCount)
                unsafe (sines + kept * pairCount).update(from: sines + index * pairCount, count: pairCount)
            }
            kept += 1
        }
        rows.removeLast(rows.count - kept)
    }
}
