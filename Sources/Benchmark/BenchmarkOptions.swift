package import Compute
package import Model

/// What is measured, with what, and how often.
package struct BenchmarkOptions: Sendable {
    /// Tokens of the prompts.
    package var prefillLengths = [128, 512, 2048]
    /// Tokens that stand before the ones that are decoded.
    package var decodeDepths = [0, 2048]
    /// Tokens that are decoded in one repetition.
    package var decodeTokenCount = 16
    /// Sequences that decode together.
    package var sequenceCount = 1
    /// Of each measurement, after one that doesn't count.
    package var repetitionCount = 5
    package var threadCount = ThreadCount.available
    package var kernels: Kernels
    /// Memory that the read bandwidth is measured over; nil for 1 GiB, or an eighth of what is available.
    package var bufferByteCount: Int?
    package var plan = MemoryPlan.Options()
    /// Experts are read no faster than this; nil for as fast as storage is.
    package var storageBytesPerSecond: Int?
    /// Chooses the experts in place of the routers, and what a report says of it.
    package var routing: (any RoutingSource)?
    package var routingDescription: String?
    /// Every token goes through all of the experts.
    package var isDense = false

    package init(kernels: Kernels) { self.kernels = kernels }
}
