import Compute
import ExpertPaging

/// The forward pass's intermediate results, allocated once. One step uses it at a time.
package final class Scratch {
    let layout: ScratchLayout
    /// Feed-forwards that are computed together.
    var jobs: [FeedForwardJob] = []
    /// Two waves of experts: one is computed while the other is read.
    var wave: [ExpertStore.Ticket] = []
    var nextWave: [ExpertStore.Ticket] = []

    /// What attention computes together.
    var spans: [AbsorbedSpan] = []
    var runs: [AttentionRun] = []

    /// Sees the inputs of the matrices of the step at hand.
    var inputObserver: (any ForwardObserver)?
    /// Sees the routers' choices of the step at hand.
    var choiceObserver: (any ForwardObserver)?

    /// A prompt's tokens at hand, and the sequences that step.
    package let chunk: ForwardPass
    package let steps: ForwardPass

    private let memory: AlignedMemory

    init(layout: ScratchLayout, hiddenSize: Int, expertCount: Int, pairCount: Int) throws(ComputeError) {
        self.layout = layout
        let memory = try AlignedMemory(byteCount: layout.floatCount * 4)
        self.memory = memory
        func floats(_ buffer: ScratchLayout.Buffer) -> UnsafeMutablePointer<Float> {
            unsafe layout.place(of: buffer, in: memory)
        }
        chunk = unsafe ForwardPass(
            hidden: floats(.chunkHidden), cosines: floats(.chunkCosines), sines: floats(.chunkSines),
            hiddenSize: hiddenSize, pairCount: pairCount, rowCapacity: layout.tokenCount)
        steps = unsafe ForwardPass(
            hidden: floats(.stepHidden), cosines: floats(.stepCosines), sines: floats(.stepSines),
            hiddenSize: hiddenSize, pairCount: pairCount, rowCapacity: layout.tokenCount)
        jobs.reserveCapacity(max(layout.rowCount, 1))
        spans.reserveCapacity(AttentionSpans.together)
        runs.reserveCapacity(layout.tokenCount)
        wave.reserveCapacity(expertCount)
        nextWave.reserveCapacity(expertCount)
    }

    package func floats(_ buffer: ScratchLayout.Buffer) -> UnsafeMutablePointer<Float> {
        unsafe layout.place(of: buffer, in: memory)
    }

    func integers(_ buffer: ScratchLayout.Buffer) -> UnsafeMutablePointer<Int32> {
        unsafe (memory.base + layout.offsets[buffer.rawValue] * 4).assumingMemoryBound(to: Int32.self)
    }

    func buffer(_ buffer: ScratchLayout.Buffer, _ count: Int) -> UnsafeBufferPointer<Float> {
        unsafe UnsafeBufferPointer(start: floats(buffer), count: count)
    }
}
