/// The two limits that a forward pass meets, as all threads together reach them.
package struct MachineLimits: Sendable, Codable, Equatable {
    /// Bytes a second, from a buffer that the caches don't hold.
    package var readBandwidth: Double
    /// Int8 multiply-adds a second of the instructions that the kernels use, from registers.
    package var multiplyAddRate: Double
    /// What was read.
    package var bufferByteCount: Int
    /// The last-level cache as the system reports it; nil where it says nothing.
    package var cacheByteCount: Int?

    package init(
        readBandwidth: Double, multiplyAddRate: Double, bufferByteCount: Int, cacheByteCount: Int? = nil
    ) {
        self.readBandwidth = readBandwidth
        self.multiplyAddRate = multiplyAddRate
        self.bufferByteCount = bufferByteCount
        self.cacheByteCount = cacheByteCount
    }

    /// Whether the buffer is so much larger than the cache that what the cache keeps of it doesn't matter.
    package var isBeyondCache: Bool { cacheByteCount.map { bufferByteCount >= 2 * $0 } ?? true }
}
